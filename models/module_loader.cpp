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
#include <torch/csrc/jit/serialization/storage_context.h>

namespace namm::models {
namespace {

using caffe2::serialize::PyTorchStreamReader;
using caffe2::serialize::PyTorchStreamWriter;
using torch::jit::DeserializationStorageContext;

constexpr uint64_t kAlignment = 64;  // of weights as PyTorch writes them
constexpr const char* kModule = "namm";

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
void check_sizes(const torch::jit::Module& module) {
  c10::IValue(module._ivalue()).visit([](const c10::IValue& value) {
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
    // Numbered apart from the weights, while a package has one numbering.
    if (name.starts_with("constants/"))
      return torch::jit::load(file.path().string(), device, /*load_debug_files=*/false);
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
    const std::string content = file.content(entry);
    writer.writeRecord(there, content.data(), content.size());
  }
  writer.writeEndOfFile();
  auto reader = std::make_shared<PyTorchStreamReader>(std::make_shared<MemoryAdapter>(std::move(package)));
  reader->setShouldLoadDebugSymbol(false);
  torch::jit::Module module =
      torch::jit::import_ir_module(std::make_shared<torch::jit::CompilationUnit>(), std::move(reader),
                                   std::move(weights), device, kModule);
  check_sizes(module);
  return module;
}

}  // namespace namm::models
