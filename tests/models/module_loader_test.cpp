#include "models/module_loader.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <caffe2/serialize/inline_container.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "core/errors.h"
#include "memory/attend.h"
#include "models/archive.h"
#include "tests/support/temporary_directory.h"

namespace namm::models {
namespace {

std::filesystem::path fixture() {
  return std::filesystem::path(NAMM_TEST_DATA) / "archives" / "torch-2.11.0.pt";
}

struct Form {
  bool deflates_weights = false;
  uint64_t alignment = 64;
  std::string shortened = {};  // entry that loses its last bytes
};

// Another zip file of the fixture's entries, with right checksums.
void rewrite(const std::filesystem::path& path, const Form& form) {
  const PackageFile file(fixture());
  std::ofstream out(path, std::ios::binary);
  caffe2::serialize::PyTorchStreamWriter writer(
      [&](const void* bytes, size_t count) {
        out.write(static_cast<const char*>(bytes), static_cast<std::streamsize>(count));
        return count;
      },
      /*compute_crc32=*/true, form.alignment);
  for (const PackageFile::Entry& entry : file.entries()) {
    const std::string name(file.name(entry));
    if (name == ".data/serialization_id") continue;  // the writer's own
    std::string content = file.content(entry);
    if (name == form.shortened) content.resize(content.size() - 64);
    writer.writeRecord(name, content.data(), content.size(),
                       form.deflates_weights && name.starts_with("data/"));
  }
  writer.writeEndOfFile();
}

void expect_same_weights(const torch::jit::Module& ours, const torch::jit::Module& theirs) {
  int64_t compared = 0;
  for (const auto& [name, tensor] : theirs.named_parameters()) {
    at::Tensor mine;
    for (const auto& [other, candidate] : ours.named_parameters()) {
      if (other == name) mine = candidate;
    }
    ASSERT_TRUE(mine.defined()) << name;
    EXPECT_TRUE(at::equal(mine, tensor)) << name;
    EXPECT_EQ(mine.strides(), tensor.strides()) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 15);
}

TEST(ModuleLoader, WeightsAreThoseOfLibTorch) {
  memory::register_operators();
  const torch::jit::Module theirs = torch::jit::load(fixture().string());
  expect_same_weights(load_module(PackageFile(fixture()), at::kCPU), theirs);

  const testing::TemporaryDirectory directory;
  for (const Form& form : {Form{.deflates_weights = true}, Form{.alignment = 2}}) {
    rewrite(directory / "other.pt", form);
    const PackageFile file(directory / "other.pt");
    file.verify();
    expect_same_weights(load_module(file, at::kCPU), theirs);
  }
}

TEST(ModuleLoader, WeightsAreViewsOfTheFile) {
  memory::register_operators();
  const PackageFile file(fixture());
  const torch::jit::Module module = load_module(file, at::kCPU);
  for (const auto& tensor : module.parameters()) {
    bool inside = tensor.numel() == 0;
    for (const PackageFile::Entry& entry : file.entries())
      inside |= tensor.const_data_ptr() == file.mapped(entry).get();
    EXPECT_TRUE(inside) << tensor.sizes();
  }
}

TEST(ModuleLoader, TheFileStaysMappedWhateverBecomesOfItsName) {
  const testing::TemporaryDirectory directory;
  std::filesystem::copy_file(fixture(), directory / "model.pt");
  const auto archive = Archive::load(directory / "model.pt");
  const at::Tensor ids = at::tensor({4, 5, 200}, at::kLong), before = archive->logits(archive->embed(ids));
  std::ofstream(directory / "new.pt") << "another archive";
  std::filesystem::rename(directory / "new.pt", directory / "model.pt");
  EXPECT_TRUE(at::equal(archive->logits(archive->embed(ids)), before));
}

TEST(ModuleLoader, ATensorLargerThanItsWeightsIsRefused) {
  const testing::TemporaryDirectory directory;
  rewrite(directory / "short.pt", {.shortened = "data/1"});
  try {
    Archive::load(directory / "short.pt");
    ADD_FAILURE() << "an archive that lacks weights was accepted";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("short.pt: "));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("weights of 20416 bytes for a tensor of [320, 16]"));
  }
}

// Modules of other programs may hold tensors as constants of their code.
TEST(ModuleLoader, ConstantsOfTheCodeAreKept) {
  const testing::TemporaryDirectory directory;
  torch::jit::Module module("constant");
  module.register_parameter("weight", at::arange(3).to(at::kFloat), false);
  module.define("def forward(self, x):\n  return x + self.weight\n");
  const auto graph = module.get_method("forward").graph();
  {
    const torch::jit::WithInsertPoint place(graph->block()->return_node());
    torch::jit::Value* const constant = graph->insertConstant(at::ones({3}) * 5);
    graph->block()->replaceOutput(0,
                                  graph->insert(c10::Symbol::aten("add"), {graph->outputs()[0], constant}));
  }
  module.save((directory / "constant.pt").string());
  torch::jit::Module loaded = load_module(PackageFile(directory / "constant.pt"), at::kCPU);
  EXPECT_TRUE(at::equal(loaded.forward({at::zeros({3})}).toTensor(), at::arange(3).to(at::kFloat) + 5));
}

}  // namespace
}  // namespace namm::models
