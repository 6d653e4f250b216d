#include "tests/bench/transformers_baseline.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "tests/bench/case.h"

namespace namm::bench {
namespace {

class FakePython : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(project_);
    std::filesystem::create_directories(project_ / ".venv/bin");
  }
  void TearDown() override { std::filesystem::remove_all(project_); }

  /// `.venv/bin/python` as a shell script.
  void write(const std::string& script) {
    const std::filesystem::path file = project_ / ".venv/bin/python";
    std::ofstream(file) << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  }

  const std::filesystem::path project_ =
      std::filesystem::temp_directory_path() / ("namm-fake-python-" + std::to_string(getpid()));
};

TEST_F(FakePython, RequestsAreAnsweredInTurn) {
  write(R"(echo '{"ready": true}'
read request; echo '{"ids": [4, 5], "prefill_seconds": 0.5, "decode_seconds": 0.25}'
read request; echo "{\"ids\": [${#request}], \"prefill_seconds\": 1, \"decode_seconds\": 2}")");
  TransformersBaseline baseline(project_, "small", 2);
  const auto first = baseline.answer({1, 2, 3}, 2);
  EXPECT_EQ(first.ids, (std::vector<int64_t>{4, 5}));
  EXPECT_EQ(first.prefill_seconds, 0.5);
  EXPECT_EQ(first.decode_seconds, 0.25);
  EXPECT_EQ(baseline.answer({1, 2}, 9).ids.front(),
            std::ssize(std::string(R"({"ids":[1,2],"new_tokens":9})")));
}

TEST_F(FakePython, WhatIsMissingSkipsTheCase) {
  EXPECT_THROW(TransformersBaseline(project_, "small", 2), Skipped) << "no Python";
  write(R"(echo '{"unavailable": "No module named transformers"}')");
  try {
    TransformersBaseline(project_, "small", 2);
    FAIL() << "the package is missing";
  } catch (const Skipped& skipped) {
    EXPECT_NE(std::string(skipped.what()).find("No module named transformers"), std::string::npos);
  }
}

TEST_F(FakePython, AProcessThatEndedIsAnError) {
  write("exit 1");
  EXPECT_THROW(TransformersBaseline(project_, "small", 2), InfrastructureError);
  write(R"(echo '{"ready": true}')");
  TransformersBaseline baseline(project_, "small", 2);
  EXPECT_THROW(baseline.answer({1}, 1), InfrastructureError);
  EXPECT_THROW(baseline.answer({1}, 1), InfrastructureError);
}

}  // namespace
}  // namespace namm::bench
