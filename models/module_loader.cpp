#include "models/module_loader.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <caffe2/serialize/inline_container.h>
#include <caffe2/serialize/read_adapter_interface.h>

#include <ATen/EmptyTensor.h>
#include <c10/core/CPUAllocator.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/csrc/jit/serialization/pickler.h>
#include <torch/csrc/jit/serialization/storage_context.h>
#include <torch/csrc/jit/serialization/unpickler.h>

namespace namm::models {
namespace {

using caffe2::serialize::PyTorchStreamReader;
using caffe2::serialize::PyTorchStreamWriter;
using torch::jit::DeserializationStorageContext;

constexpr uint64_t kAlignment = 64;  // of weights as PyTorch writes them
constexpr const char* kModule = "namm";
constexpr std::string_view kConstants = "constants/";  // tensors that stand in the code

class MemoryAdapter : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit MemoryAdapter(std::string bytes) : bytes_(std::move(bytes)) {}
  size_t size() const override { return bytes_.size(); }
  size_t read(uint64_t begin, void* target, size_t count, const char* /*what*/) const override {
    const std::string_view rest = std::string_view(bytes_).substr(std::min<size_t>(begin, bytes_.size()));
    const std::string_view part = rest.substr(0, count);
    std::memcpy(target, part.data(), part.size());
    return part.size();
  }

 private:
  std::string bytes_;
};

// A view of the file where the weights lie in it as tensors want them, else a copy.
c10::Storage storage_of(const PackageFile& file, const PackageFile::Entry& entry) {
  at::DataPtr data;
  if (entry.deflated || entry.begin % kAlignment != 0) {
    const std::string content = file.content(entry);
    data = c10::GetCPUAllocator()->allocate(content.size());
    std::memcpy(data.get(), content.data(), content.size());
  } else {
    auto held = std::make_unique<std::shared_ptr<const char>>(file.mapped(entry));
    auto* const first = const_cast<char*>(held->get());
    data = at::DataPtr(
        first, held.release(), [](void* owner) { delete static_cast<std::shared_ptr<const char>*>(owner); },
        at::kCPU);
  }
  return c10::Storage(c10::Storage::use_byte_size_t(), entry.size, std::move(data), /*allocator=*/nullptr,
                      /*resizable=*/false);
}

// LibTorch takes the sizes that the file names for it. Throws c10::Error where a tensor would reach beyond
// its weights.
void check_sizes(const c10::IValue& weights) {
  weights.visit([](const c10::IValue& value) {
    if (!value.isTensor() || !value.toTensor().has_storage()) return false;
    const at::Tensor& tensor = value.toTensor();
    TORCH_CHECK(tensor.storage_offset() >= 0, "weights that begin at ", tensor.storage_offset());
    const size_t held = tensor.storage().nbytes();
    const size_t needed = at::detail::computeStorageNbytes(
        tensor.sizes(), tensor.strides(), tensor.itemsize(), static_cast<size_t>(tensor.storage_offset()));
    TORCH_CHECK(needed <= held, "weights of ", held, " bytes for a tensor of ", tensor.sizes());
    return false;
  });
}

// constants.pkl of `file`, whose tensors are renumbered behind the weights: an archive numbers both from 0, a
// package has one numbering. `weights` gets their storages.
std::string renumbered_constants(const PackageFile& file, const std::string& pickle,
                                 DeserializationStorageContext& weights) {
  const auto own = std::make_shared<DeserializationStorageContext>();
  for (const PackageFile::Entry& entry : file.entries()) {
    const std::string name(file.name(entry));
    if (name.starts_with(kConstants))
      own->addStorage(name.substr(kConstants.size()), storage_of(file, entry));
  }
  std::size_t place = 0;
  torch::jit::Unpickler unpickler(
      [&](char* target, size_t count) {
        count = std::min(count, pickle.size() - place);
        std::memcpy(target, pickle.data() + place, count);
        place += count;
        return count;
      },
      /*type_resolver=*/nullptr, /*obj_loader=*/nullptr,
      [](const std::string& name) -> at::DataPtr { TORCH_CHECK(false, "constants/", name, " is missing"); },
      at::kCPU, /*use_storage_device=*/false, torch::jit::Unpickler::defaultTypeParser, own);
  const c10::IValue constants = unpickler.parse_ivalue();
  check_sizes(constants);

  std::string renumbered;
  int64_t number = 0;
  torch::jit::Pickler pickler([&](const char* bytes, size_t count) { renumbered.append(bytes, count); },
                              /*tensor_table=*/nullptr,
                              /*type_renamer=*/nullptr, /*memoized_class_types=*/nullptr,
                              [&](const at::Tensor& tensor) {
                                std::string name = "constant" + std::to_string(number++);
                                weights.addStorage(name, tensor.storage());
                                return name;
                              });
  pickler.protocol();
  pickler.pushIValue(constants);
  pickler.stop();
  return renumbered;
}

}  // namespace

// LibTorch reads all weights into memory of its own, unless a module stands in a torch.package, where modules
// share storages through a context. So it is given the archive in that form, without its weights, and a
// context that has them.
torch::jit::Module load_module(const PackageFile& file, at::Device device) {
  auto weights = std::make_shared<DeserializationStorageContext>();
  std::string package;
  PyTorchStreamWriter writer(
      [&](const void* bytes, size_t count) {
        package.append(static_cast<const char*>(bytes), count);
        return count;
      },
      /*compute_crc32=*/false);
  for (const PackageFile::Entry& entry : file.entries()) {
    const std::string name(file.name(entry));
    if (name.starts_with("data/")) {
      weights->addStorage(name.substr(std::strlen("data/")), storage_of(file, entry));
      continue;
    }
    std::string there;
    if (name.starts_with("code/") && !name.ends_with(".debug_pkl")) there = ".data/ts_code/" + name;
    if (name == "data.pkl" || name == "constants.pkl")
      there = std::string(".data/ts_code/") + kModule + "/" + name;
    if (name == "version") there = ".data/version";
    if (there.empty()) continue;
    std::string content = file.content(entry);
    if (name == "constants.pkl") content = renumbered_constants(file, content, *weights);
    writer.writeRecord(there, content.data(), content.size());
  }
  writer.writeEndOfFile();
  auto reader = std::make_shared<PyTorchStreamReader>(std::make_shared<MemoryAdapter>(std::move(package)));
  reader->setShouldLoadDebugSymbol(false);
  torch::jit::Module module =
      torch::jit::import_ir_module(std::make_shared<torch::jit::CompilationUnit>(), std::move(reader),
                                   std::move(weights), device, kModule);
  check_sizes(module._ivalue());
  return module;
}

}  // namespace namm::models
