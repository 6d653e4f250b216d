#include "tasks/data_check.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "tests/support/temporary_directory.h"
#include "tests/tasks/benchmark_records.h"

namespace namm::tasks {
namespace {

using ::testing::HasSubstr;

TEST(DataCheck, CountsRecordsOfEveryBenchmark) {
  const testing::TemporaryDirectory folder;
  testing::write_benchmark_records(folder.path(), 3);
  std::filesystem::copy(NAMM_TEST_DATA "/longbench/data", folder / "data");
  std::ofstream(folder / "passkey.jsonl", std::ios::app) << "{\n{\"id\": 9}\n";
  std::ofstream(folder / "wiki_qa.jsonl") << "\n";

  const auto document = check_data(folder.path());
  ASSERT_EQ(document["benchmarks"].size(), 3u);
  const auto& longbench = document["benchmarks"][0];
  EXPECT_EQ(longbench["benchmark"], "longbench");
  EXPECT_EQ(longbench["files"].size() + longbench["missing"].size(), 21u);
  for (const auto& file : longbench["files"]) {
    EXPECT_GE(file["records"], 1) << file;
    EXPECT_EQ(file["bad_records"], 0) << file;
  }
  const auto& infinitebench = document["benchmarks"][1];
  ASSERT_EQ(infinitebench["files"].size(), 12u);
  const auto& passkey = infinitebench["files"][0];
  EXPECT_EQ(passkey["records"], 3);
  EXPECT_EQ(passkey["official_records"], 590);
  EXPECT_EQ(passkey["bad_records"], 2);
  EXPECT_THAT(passkey["bad"][0].get<std::string>(), HasSubstr("passkey.jsonl:4: not valid JSON"));
  EXPECT_THAT(passkey["bad"][1].get<std::string>(), HasSubstr("passkey.jsonl:5: the record lacks `context`"));
  EXPECT_EQ(infinitebench["files"][1]["bad_records"], 0);
  const auto& wiki = document["benchmarks"][2]["files"][0];
  EXPECT_THAT(wiki["error"].get<std::string>(), HasSubstr("no usable record"));
}

TEST(DataCheck, SaysWhereTheFilesComeFrom) {
  const testing::TemporaryDirectory folder;
  try {
    check_data(folder.path());
    ADD_FAILURE();
  } catch (const DataError& error) {
    for (const char* text : {"THUDM/LongBench", "InfiniteBench", "ChouBun"})
      EXPECT_THAT(error.what(), HasSubstr(text));
  }
  EXPECT_THROW(check_data(folder / "none"), DataError);
}

}  // namespace
}  // namespace namm::tasks
