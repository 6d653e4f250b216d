#include "models/module_loader.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include <caffe2/serialize/inline_container.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "core/errors.h"
#include "core/sha256.h"
#include "memory/attend.h"
#include "models/archive.h"
#include "tests/models/rewrite_archive.h"
#include "tests/support/temporary_directory.h"

namespace namm::models {
namespace {

std::filesystem::path fixture() {
  return std::filesystem::path(NAMM_TEST_DATA) / "archives" / "torch-2.11.0.pt";
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
  using testing::RewriteOptions;
  for (const auto& options : {RewriteOptions{.deflates_weights = true}, RewriteOptions{.alignment = 2}}) {
    testing::rewrite_archive(
        PackageFile(fixture()), directory / "other.pt", [](auto&, auto&) {}, options);
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

TEST(ModuleLoader, TheHashIsThatOfTheFileThatWasLoaded) {
  const testing::TemporaryDirectory directory;
  std::filesystem::copy_file(fixture(), directory / "model.pt");
  const auto archive = Archive::load(directory / "model.pt");
  std::ofstream(directory / "new.pt") << "another archive";
  std::filesystem::rename(directory / "new.pt", directory / "model.pt");
  EXPECT_EQ(archive->sha256(), sha256_file(fixture()));

  const PackageFile file(fixture());
  for (const PackageFile::Entry& entry : file.entries()) *const_cast<char*>(file.mapped(entry).get()) ^= 1;
  EXPECT_EQ(file.sha256(), sha256_file(fixture())) << "what a model writes to its weights is not the file's";
}

TEST(ModuleLoader, ATensorLargerThanItsWeightsIsRefused) {
  const testing::TemporaryDirectory directory;
  const auto shorten = [](const std::string& name, std::string& content) {
    if (name == "data/1") content.resize(content.size() - 64);
  };
  testing::rewrite_archive(PackageFile(fixture()), directory / "short.pt", shorten);
  try {
    Archive::load(directory / "short.pt");
    ADD_FAILURE() << "an archive that lacks weights was accepted";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("short.pt: "));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("weights of 20416 bytes for a tensor of [320, 16]"));
  }
}

// Modules of other programs may hold tensors as constants of their code: this one gives 2 (x + weight + 5)
// + 7.
void save_module_with_constants(const std::filesystem::path& path) {
  torch::jit::Module module("constant");
  module.register_parameter("weight", at::arange(3).to(at::kFloat), false);
  module.define("def forward(self, x):\n  return x + self.weight\n");
  const auto graph = module.get_method("forward").graph();
  {
    const torch::jit::WithInsertPoint place(graph->block()->return_node());
    torch::jit::Value* result = graph->outputs()[0];
    for (const auto& [name, tensor] :
         {std::pair("add", at::ones({3}) * 5), std::pair("mul", at::ones({3}) * 2),
          std::pair("add", at::ones({3}) * 7)})
      result = graph->insert(c10::Symbol::aten(name), {result, graph->insertConstant(tensor)});
    graph->block()->replaceOutput(0, result);
  }
  module.save(path.string());
}

TEST(ModuleLoader, ConstantsOfTheCodeAreKept) {
  const testing::TemporaryDirectory directory;
  save_module_with_constants(directory / "constant.pt");
  torch::jit::Module loaded = load_module(PackageFile(directory / "constant.pt"), at::kCPU);
  EXPECT_TRUE(
      at::equal(loaded.forward({at::zeros({3})}).toTensor(), (at::arange(3).to(at::kFloat) + 5) * 2 + 7));
}

TEST(ModuleLoader, DamagedConstantsAreRefused) {
  const testing::TemporaryDirectory directory;
  save_module_with_constants(directory / "whole.pt");
  const auto complaint = [&](const auto& change) -> std::string {
    testing::rewrite_archive(PackageFile(directory / "whole.pt"), directory / "damaged.pt", change);
    try {
      load_module(PackageFile(directory / "damaged.pt"), at::kCPU);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(complaint([](auto&, auto&) {}), "");
  for (const char* const shortened : {"constants/2", "data/0"}) {
    EXPECT_THAT(complaint([&](const std::string& name, std::string& content) {
                  if (name == shortened) content.resize(content.size() - 4);
                }),
                ::testing::HasSubstr("weights of 8 bytes for a tensor of [3]"))
        << shortened;
  }
  EXPECT_NE(complaint([](const std::string& name, std::string& content) {
              if (name == "constants.pkl") content.resize(content.size() / 2);
            }),
            "");
}

}  // namespace
}  // namespace namm::models
