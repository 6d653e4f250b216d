#include "models/archive.h"

#include <filesystem>
#include <fstream>
#include <set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "core/crc32.h"
#include "core/errors.h"
#include "core/files.h"
#include "memory/policies/full.h"
#include "models/device.h"
#include "models/generator.h"
#include "models/package_file.h"
#include "tests/support/temporary_directory.h"

namespace namm::models {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::filesystem::path fixture(const std::string& torch_version) {
  return std::filesystem::path(NAMM_TEST_DATA) / "archives" / ("torch-" + torch_version + ".pt");
}

std::string complaint(const std::filesystem::path& path) {
  try {
    Archive::load(path);
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

TEST(Archive, LoadsWhatTheExporterWrote) {
  const auto archive = Archive::load(fixture("2.11.0"));
  const Contract& contract = archive->contract();
  EXPECT_EQ(contract.shape.layers, 2);
  EXPECT_EQ(contract.stop_ids, std::vector<int64_t>{2});
  EXPECT_EQ(archive->dtype(), at::kFloat);
  EXPECT_EQ(archive->sha256().size(), 64u);
  EXPECT_EQ(archive->encode_prompt("code paris", false), (std::vector<int64_t>{1, 4, 5}));
  EXPECT_THROW(archive->encode_prompt("code", true), ConfigError);
  EXPECT_EQ(archive->logits(archive->embed(at::tensor({4, 5}, at::kLong))).sizes(),
            (std::vector<int64_t>{2, 320}));
  EXPECT_THROW(archive->embed(at::tensor({320}, at::kLong)), DataError);
  EXPECT_THROW(archive->embed(at::tensor({-1}, at::kLong)), DataError);
  EXPECT_EQ(Archive::read_contract(fixture("2.11.0")).vocabulary, 320);
}

// The same weights, written by three versions of torch, give the same logits.
TEST(Archive, ReadsNeighbouringVersionsOfTorch) {
  at::Tensor expected;
  int64_t archives = 0;
  for (const char* version : {"2.11.0", "2.9.1", "2.15.0"}) {
    const auto archive = Archive::load(fixture(version));
    EXPECT_EQ(archive->contract().torch_version, version);
    memory::SessionOptions options;
    options.shape = archive->contract().shape;
    options.policy = std::make_shared<memory::FullPolicy>();
    memory::Session session(options);
    const std::vector<memory::RowId> rows = {session.add_row()};
    const std::vector<std::vector<int64_t>> ids = {{1, 4, 5, 3, 200, 4}};
    const at::Tensor logits = Generator(archive, session).prefill(rows, ids);
    if (!expected.defined()) expected = logits;
    EXPECT_TRUE(at::equal(logits, expected)) << version;
    ++archives;
  }
  EXPECT_EQ(archives, 3);
}

TEST(Archive, SaysWhatIsWrongWithAFile) {
  const testing::TemporaryDirectory directory;
  EXPECT_THAT(complaint(directory / "none.pt"), HasSubstr("cannot be opened: No such file"));
  EXPECT_THAT(complaint(directory.path()), HasSubstr("not a file"));
  const auto write = [&](const std::string& name, const std::string& bytes) {
    std::ofstream(directory / name, std::ios::binary) << bytes;
    return directory / name;
  };
  EXPECT_THAT(complaint(write("empty.pt", "")), HasSubstr("the file is empty"));
  EXPECT_THAT(
      complaint(write("text.pt", "These are words, and there are enough of them to be a zip file's end.")),
      HasSubstr("it is no TorchScript (zip) file"));
  const std::string whole = read_file(fixture("2.11.0"));
  EXPECT_THAT(complaint(write("cut.pt", whole.substr(0, whole.size() / 2))), HasSubstr("it is truncated"));

  std::string damaged = whole;
  const std::size_t weights = whole.find("model/embedding");
  damaged[weights == std::string::npos ? whole.size() / 2 : weights] ^= 1;
  EXPECT_THAT(complaint(write("damaged.pt", damaged)), HasSubstr("not a complete model archive"));
}

TEST(Archive, AnotherProgramsFileIsNamedAsSuch) {
  const testing::TemporaryDirectory directory;
  std::string foreign = read_file(fixture("2.11.0"));
  for (std::size_t at = 0; (at = foreign.find("namm_contract", at)) != std::string::npos;) foreign[at] = 'x';
  const auto path = directory / "foreign.pt";
  std::ofstream(path, std::ios::binary) << foreign;
  EXPECT_THAT(complaint(path), HasSubstr("a TorchScript or checkpoint file of another program"));
}

std::string as_bytes(uint32_t number) {
  return {reinterpret_cast<const char*>(&number), sizeof(number)};
}

void replace_all(std::string& text, const std::string& what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
}

TEST(Archive, AContractOfAnotherModelIsRefused) {
  const testing::TemporaryDirectory directory;
  const auto path = directory / "changed.pt";
  const std::string contract = *PackageFile(fixture("2.11.0")).read("extra/namm_contract.json");
  for (const auto& [field, other] : {std::pair{"\"layers\": 2", "\"layers\": 3"},
                                     {"\"layers\": 2", "\"layers\": 1"},
                                     {"\"heads\": 4", "\"heads\": 8"},
                                     {"\"kv_heads\": 2", "\"kv_heads\": 1"},
                                     {"\"head_dim\": 8", "\"head_dim\": 4"}}) {
    std::string changed = contract;
    replace_all(changed, field, other);
    ASSERT_NE(changed, contract) << field;
    std::string bytes = read_file(fixture("2.11.0"));
    replace_all(bytes, contract, changed);
    replace_all(bytes, as_bytes(crc32(contract)), as_bytes(crc32(changed)));
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    const std::string text = complaint(path);
    EXPECT_THAT(text, HasSubstr("changed.pt: ")) << other;
    EXPECT_THAT(text, ::testing::AnyOf(HasSubstr("[attend]"), HasSubstr("fewer layers"))) << other;
    EXPECT_THAT(text, HasSubstr("export the model again")) << other;
  }
}

TEST(Archive, TellsItsRotaryFrequencies) {
  const at::Tensor frequencies = Archive::load(fixture("2.11.0"))->inverse_frequencies();
  EXPECT_TRUE(at::allclose(frequencies, at::tensor({1.0f, 0.1f, 0.01f, 0.001f}), 1e-6, 0)) << frequencies;
  // A model without the rotary embedding.
  const testing::TemporaryDirectory directory;
  const std::string contract = *PackageFile(fixture("2.11.0")).read("extra/namm_contract.json");
  std::string changed = contract, bytes = read_file(fixture("2.11.0"));
  replace_all(changed, "\"rule\": \"plain\"", "\"rule\": \"none\" ");
  ASSERT_NE(changed, contract);
  replace_all(bytes, contract, changed);
  replace_all(bytes, as_bytes(crc32(contract)), as_bytes(crc32(changed)));
  std::ofstream(directory / "absolute.pt", std::ios::binary) << bytes;
  try {
    Archive::load(directory / "absolute.pt")->inverse_frequencies();
    ADD_FAILURE() << "a model without a rotary position embedding was accepted";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("absolute.pt: the model has no rotary position embedding"));
  }
}

TEST(Archive, APipeIsNoFile) {
  const testing::TemporaryDirectory directory;
  const auto path = directory / "pipe.pt";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(complaint(path), HasSubstr("not a file"));
}

TEST(Device, NamesAreChecked) {
  EXPECT_EQ(parse_device("cpu"), at::Device(at::kCPU));
  EXPECT_NO_THROW(parse_device("auto"));
  for (const char* name : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "cuda:99999999999"}) {
    EXPECT_THROW(parse_device(name), ConfigError) << name;
  }
  if (find_cuda_devices().count > 0) GTEST_SKIP() << "this machine has CUDA devices";
  try {
    parse_device("cuda");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), StartsWith("device 'cuda': "));
    EXPECT_THAT(error.what(), HasSubstr("use cpu"));
  }
}

}  // namespace
}  // namespace namm::models
