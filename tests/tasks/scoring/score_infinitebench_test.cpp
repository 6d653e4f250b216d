#include "tasks/scoring/score_infinitebench.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "tests/support/temporary_directory.h"

namespace namm::tasks {
namespace {

using nlohmann::ordered_json;
using ::testing::HasSubstr;

class ScoreInfiniteBench : public ::testing::Test {
 protected:
  ordered_json score(const std::string& task, const std::string& lines,
                     const std::vector<std::string>& set = {}) {
    const std::filesystem::path file = folder_ / ("preds_" + task + ".jsonl");
    std::ofstream(file, std::ios::binary) << lines;
    return score_infinitebench(file, std::nullopt, parse_score_settings("infinitebench", set))
        .at("datasets")
        .at(0);
  }

  std::string data_error(const std::string& lines) {
    try {
      score("passkey", lines);
    } catch (const DataError& error) {
      return error.what();
    }
    ADD_FAILURE() << "no DataError for " << lines;
    return "";
  }

  testing::TemporaryDirectory folder_;
};

TEST_F(ScoreInfiniteBench, ChoosesTheLabelKeyByTheFirstRecord) {
  const ordered_json entry = score("passkey", R"({"id": 1, "pred": "7", "label": "7"})"
                                              "\n \n"
                                              R"({"id": 2, "prediction": "7", "pred": "8", "label": ["7"]})"
                                              "\n"
                                              R"({"id": 3, "prediction": "7", "ground_truth": "7"})");
  EXPECT_EQ(entry.at("samples"), ordered_json::array({1.0, 1.0, 0.0}));
  EXPECT_EQ(score("longbook_choice_eng", R"({"prediction": "A", "ground_truth": ["x", "A"]})"
                                         "\n"
                                         R"({"prediction": "XX", "label": ["XX", "A"]})")
                .at("samples"),
            ordered_json::array({1.0, 1.0}));  // "XX" is a part of ten X
}

TEST_F(ScoreInfiniteBench, NumbersKeepTheirJsonType) {
  const ordered_json entry = score("math_find", R"({"prediction": "5.0", "ground_truth": 5.0})"
                                                "\n"
                                                R"({"prediction": "5.0", "ground_truth": 5})"
                                                "\n"
                                                R"({"prediction": "5", "ground_truth": [5.0]})"
                                                "\n"
                                                R"({"prediction": "5", "ground_truth": "5"})");
  EXPECT_EQ(entry.at("samples"), ordered_json::array({1.0, nullptr, 1.0, nullptr}));
  EXPECT_TRUE(entry.at("score").is_null());
  EXPECT_EQ(entry.at("raised"), 2);
}

TEST_F(ScoreInfiniteBench, CountsManyNumbersQuickly) {
  std::string prediction, label;
  for (int i = 0; i < 15000; ++i) {
    prediction += std::to_string(i * 7919 % 100) + ", ";
    label += (i > 0 ? "," : "") + std::to_string(i * 7919 % 100);
  }
  const std::string record = R"({"prediction": ")" + prediction + R"(", "ground_truth": [[)" + label + "]]}";
  EXPECT_EQ(score("math_calc", record).at("score"), 1.0);
}

TEST_F(ScoreInfiniteBench, NumbersOfAnySize) {
  const std::string big(4300, '9'), too_big(4301, '0');
  EXPECT_EQ(score("code_run", R"({"prediction": "x )" + big + R"(", "ground_truth": 9})").at("score"), 0.0);
  EXPECT_EQ(score("math_find", R"({"prediction": ")" + big + R"(", "ground_truth": 9})").at("score"), 0.0);
  // Python refuses to read more than 4,300 digits.
  EXPECT_EQ(score("code_run", R"({"prediction": ")" + too_big + R"(", "ground_truth": 0})").at("score"), 0.0);
  EXPECT_TRUE(
      score("math_find", R"({"prediction": ")" + too_big + R"(", "ground_truth": 0})").at("score").is_null());
}

TEST_F(ScoreInfiniteBench, NoScoreForAPredictionThatIsNoText) {
  EXPECT_TRUE(
      score("longbook_qa_eng", R"({"prediction": null, "ground_truth": ["x"]})").at("score").is_null());
}

TEST_F(ScoreInfiniteBench, NamesFileAndLineOfBadRecords) {
  const std::string good = R"({"id": 0, "prediction": "7", "ground_truth": "7"})";
  for (const auto& [bad, reason] : std::vector<std::pair<std::string, std::string>>{
           {R"({"id": 1, "prediction": "x")", "not valid JSON"},
           {R"({"id": 1, "prediction": "x", "ground_truth": NaN})", "not valid JSON"},
           {R"({"id": 1, "ground_truth": "7"})", "prediction"},
           {R"({"id": 1, "prediction": "x", "ground_truth": []})", "empty list"},
           {R"({"id": 1, "prediction": "x", "ground_truth": [[]]})", "empty list"},
           {R"({"id": 1, "prediction": "x", "ground_truth": {"a": 1}})", "must be a text"},
           {R"({"id": 1, "prediction": "x", "ground_truth": 123456789012345678901})", "64 bits"},
           {R"({"id": 0, "prediction": "x", "ground_truth": "7"})", "line 1"},
           {"{\"id\": 1, \"prediction\": \"\xFF\", \"ground_truth\": \"7\"}", "UTF-8"},
           {"[1]", "object"}}) {
    const std::string error = data_error(good + "\n" + bad);
    EXPECT_THAT(error, HasSubstr("preds_passkey.jsonl:2")) << bad;
    EXPECT_THAT(error, HasSubstr(reason)) << bad;
    const ordered_json left = score("passkey", good + "\n" + bad, {"skip_bad_records=true"});
    EXPECT_EQ(left.at("skipped_records"), 1);
    EXPECT_EQ(left.at("score"), 1.0);
  }
  EXPECT_THAT(data_error(R"({"prediction": "x"})"), HasSubstr("first record"));
  EXPECT_THAT(data_error("\n"), HasSubstr("no prediction"));
}

TEST_F(ScoreInfiniteBench, RefusesUnknownTasksAndSettings) {
  EXPECT_THROW(score("poems", R"({"prediction": "x", "ground_truth": "x"})"), ConfigError);
  EXPECT_THROW(score_infinitebench(folder_.path(), "poems", {}), ConfigError);
  for (const char* bad : {"scorer=2024", "buckets=true", "edit_similarity=difflib"}) {
    EXPECT_THROW(parse_score_settings("infinitebench", {bad}), ConfigError) << bad;
  }
}

TEST_F(ScoreInfiniteBench, FolderWithBothNamings) {
  score("passkey", R"({"prediction": "7", "ground_truth": "7"})");
  std::ofstream(folder_ / "code_run.jsonl") << R"({"prediction": "7", "ground_truth": 7})";
  std::ofstream(folder_ / "notes.jsonl") << "none";
  const ordered_json scored = score_infinitebench(folder_.path(), std::nullopt, {});
  ASSERT_EQ(scored.at("datasets").size(), 2u);
  EXPECT_EQ(scored.at("datasets").at(0).at("dataset"), "code_run");
  EXPECT_EQ(scored.at("skipped").at(0).at("dataset"), "notes");
  EXPECT_EQ(score_infinitebench(folder_.path(), "passkey", {}).at("datasets").at(0).at("score"), 1.0);
}

}  // namespace
}  // namespace namm::tasks
