#include "tasks/scoring/scoring.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "tasks/scoring/score_longbench.h"
#include "tasks/scoring/summary.h"
#include "tests/support/dictionaries.h"
#include "tests/support/temporary_directory.h"

namespace namm::tasks {
namespace {

using nlohmann::ordered_json;
using ::testing::HasSubstr;

class Scoring : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }

  /// The text of the error of kind E that `action` ends with.
  template <class E, class Action>
  static std::string error_of(Action action) {
    try {
      action();
    } catch (const E& error) {
      return error.what();
    }
    ADD_FAILURE() << "no error of the expected kind";
    return "";
  }

  testing::TemporaryDirectory folder_;
};

constexpr const char* good_record =
    R"({"pred": "Paris", "answers": ["paris"], "all_classes": null, "length": 10})";

TEST_F(Scoring, ReportsAsTheOfficialScript) {
  const auto file =
      write("hotpotqa.jsonl", std::string(good_record) + "\n" + R"({"pred": "x", "answers": ["Rome"]})" +
                                  "\n" + R"({"pred": "x", "answers": ["Oslo", "x"]})");
  const ordered_json scored = score_longbench(file, std::nullopt, {});
  EXPECT_EQ(scored.at("benchmark"), "longbench");
  const ordered_json& entry = scored.at("datasets").at(0);
  EXPECT_EQ(entry.at("score"), 66.67);
  EXPECT_EQ(entry.at("samples"), ordered_json::array({1.0, 0.0, 1.0}));
  EXPECT_EQ(score_longbench(file, "musique", {}).at("datasets").at(0).at("dataset"), "musique");
}

TEST_F(Scoring, RoundsAsPython) {
  EXPECT_EQ(official_percentage({0.00125}), 0.12);  // 0.125 is exact: to even
  EXPECT_EQ(official_percentage({0.00375}), 0.38);
  EXPECT_EQ(official_percentage({0.5, 0.25, 0.25}), 33.33);
  EXPECT_EQ(official_bucket_percentage(std::vector<double>(1000, 0.1)), 10.0);
}

// benchmarks-01: the cut to the first line happens for four tasks and no other.
TEST_F(Scoring, CutsToTheFirstLineWhereTheBenchmarkDoes) {
  const std::string trec =
      R"({"pred": "\n\nLocation : city\nQuestion: next", "answers": ["Location : city"],)"
      R"( "all_classes": ["Location : city", "Question"]})";
  EXPECT_EQ(
      score_longbench(write("trec.jsonl", trec), std::nullopt, {}).at("datasets").at(0).at("samples").at(0),
      1.0);
  const std::string qa = R"({"pred": "\n\ncity\nnext", "answers": ["city"]})";
  EXPECT_EQ(
      score_longbench(write("triviaqa.jsonl", qa), std::nullopt, {}).at("datasets").at(0).at("samples").at(0),
      1.0);
  const ordered_json uncut = score_longbench(write("hotpotqa.jsonl", qa), std::nullopt, {});
  EXPECT_NEAR(uncut.at("datasets").at(0).at("samples").at(0).get<double>(), 2.0 / 3, 1e-12);
}

TEST_F(Scoring, GivesNullWhereTheOfficialFunctionRaises) {
  const auto retrieval = write("passage_retrieval_en.jsonl", R"({"pred": "3", "answers": ["third"]})");
  const ordered_json entry = score_longbench(retrieval, std::nullopt, {}).at("datasets").at(0);
  EXPECT_TRUE(entry.at("samples").at(0).is_null());
  EXPECT_TRUE(entry.at("score").is_null());
  const auto trec = write("trec.jsonl", R"({"pred": "City", "answers": ["City"], "all_classes": null})");
  EXPECT_TRUE(score_longbench(trec, std::nullopt, {}).at("datasets").at(0).at("samples").at(0).is_null());
  const auto missing = write("qasper.jsonl", R"({"pred": null, "answers": ["City"]})");
  EXPECT_TRUE(score_longbench(missing, std::nullopt, {}).at("datasets").at(0).at("samples").at(0).is_null());
}

TEST_F(Scoring, AcceptsWhatPythonWrites) {
  const auto file = write("lcc.jsonl", R"({"pred": "a\ud83d", "answers": ["a\ud83d"]})"
                                       "\n"
                                       R"({"pred": "a\ud83d", "answers": ["a\ud83e"]})"
                                       "\n"
                                       R"({"pred": "\ud83d\ude00", "answers": ["😀"]})");
  const ordered_json samples = score_longbench(file, std::nullopt, {}).at("datasets").at(0).at("samples");
  EXPECT_EQ(samples, ordered_json::array({1.0, 0.5, 1.0}));
}

TEST_F(Scoring, NamesFileAndLineOfBadRecords) {
  const auto score = [&](const std::string& second_line, const ScoreSettings& settings = {}) {
    return score_longbench(write("qasper.jsonl", std::string(good_record) + "\n" + second_line + "\n"),
                           std::nullopt, settings);
  };
  for (const std::string bad :
       {R"({"pred": "x")", R"([1])", R"({"pred": NaN, "answers": ["x"]})", R"({"answers": ["x"]})",
        R"({"pred": "x"})", R"({"pred": "x", "answers": "x"})", R"({"pred": "x", "answers": []})",
        "{\"pred\": \"\xFF\", \"answers\": []}"}) {
    EXPECT_THAT(error_of<DataError>([&] { score(bad); }), HasSubstr("qasper.jsonl:2")) << bad;
    const ordered_json skipped = score(bad, {.skip_bad_records = true}).at("datasets").at(0);
    EXPECT_EQ(skipped.at("skipped_records"), 1) << bad;
    EXPECT_THAT(skipped.at("skipped_reasons").at(0).get<std::string>(), HasSubstr("qasper.jsonl:2"));
    EXPECT_EQ(skipped.at("samples").size(), 1u);
  }
  EXPECT_THAT(error_of<DataError>([&] { score(R"({"pred": "x", "answers": ["x"]})", {.buckets = true}); }),
              HasSubstr("length"));
}

TEST_F(Scoring, RefusesWhatItCannotScore) {
  write("vcsum.jsonl", good_record);
  write("notes.jsonl", "not json");
  EXPECT_THAT(error_of<DataError>([&] { score_longbench(folder_ / "vcsum.jsonl", std::nullopt, {}); }),
              HasSubstr("dictionaries"));
  EXPECT_THAT(error_of<ConfigError>([&] { score_longbench(folder_ / "notes.jsonl", std::nullopt, {}); }),
              HasSubstr("--dataset"));
  EXPECT_THAT(error_of<ConfigError>([&] { score_longbench(folder_.path(), "poems", {}); }),
              HasSubstr("narrativeqa"));
  EXPECT_THAT(error_of<DataError>([&] { score_longbench(folder_ / "none", std::nullopt, {}); }),
              HasSubstr("none"));
  EXPECT_THAT(error_of<DataError>([&] { score_longbench(folder_.path(), "trec", {}); }),
              HasSubstr("trec.jsonl"));
  EXPECT_THAT(error_of<DataError>([&] { score_longbench(write("qasper.jsonl", ""), std::nullopt, {}); }),
              HasSubstr("no prediction"));
  EXPECT_THAT(error_of<ConfigError>([&] { score_predictions("helm", folder_.path(), std::nullopt, {}); }),
              HasSubstr("longbench"));
  EXPECT_THROW(parse_score_settings("helm", {"buckets=true"}), ConfigError);
}

TEST_F(Scoring, FolderListsWhatItLeavesOut) {
  write("notes.jsonl", "not json");
  write("qasper.jsonl", good_record);
  write("result.json", "{}");
  const ordered_json scored = score_longbench(folder_.path(), std::nullopt, {});
  ASSERT_EQ(scored.at("datasets").size(), 1u);
  ASSERT_EQ(scored.at("skipped").size(), 1u);
  EXPECT_EQ(scored.at("skipped").at(0).at("dataset"), "notes");
}

TEST_F(Scoring, CasesNameTheirMetric) {
  const auto file = write(
      "cases.jsonl",
      R"({"id": "a", "metric": "qa_f1_score", "pred": "x\ny", "answers": ["x"], "post": "first_line"})"
      "\n"
      R"({"id": "b", "metric": "rouge_zh_score", "pred": "x", "answers": ["x"]})"
      "\n"
      R"({"id": "c", "metric": "qa_f1_score", "dataset": "triviaqa", "pred": "x\ny", "answers": ["x"]})");
  const ordered_json scored =
      score_cases("longbench", file, {.metric = {.segmenters = testing::segmenters()}});
  ASSERT_EQ(scored.at("datasets").size(), 2u);
  const ordered_json& f1 = scored.at("datasets").at(0);
  EXPECT_EQ(f1.at("cases").at(0), ordered_json({{"id", "a"}, {"score", 1.0}}));
  EXPECT_EQ(f1.at("cases").at(1), ordered_json({{"id", "c"}, {"score", 1.0}}));
  EXPECT_EQ(scored.at("datasets").at(1).at("dictionary"), "jieba 0.42.1");
  EXPECT_EQ(scored.at("datasets").at(1).at("cases").at(0).at("id"), "b");

  const auto unknown =
      write("unknown.jsonl", R"({"id": "a", "metric": "bleu", "pred": "x", "answers": ["x"]})");
  EXPECT_THAT(error_of<DataError>([&] { score_cases("longbench", unknown, {}); }),
              HasSubstr("unknown.jsonl:1"));
  const std::string twice = R"({"id": "a", "metric": "count_score", "pred": "1", "answers": ["1"]})";
  EXPECT_THAT(
      error_of<DataError>([&] { score_cases("longbench", write("twice.jsonl", twice + "\n" + twice), {}); }),
      HasSubstr("twice.jsonl:2"));
  EXPECT_THROW(score_cases("longbench", write("no_id.jsonl", good_record), {}), DataError);
}

TEST_F(Scoring, JobsChangeNothing) {
  const std::filesystem::path predictions = std::filesystem::path(NAMM_TEST_DATA) / "longbench" / "pred";
  const MetricOptions metric{.segmenters = testing::segmenters()};
  EXPECT_EQ(score_longbench(predictions, std::nullopt, {.metric = metric, .jobs = 1}),
            score_longbench(predictions, std::nullopt, {.metric = metric, .jobs = 7}));
}

TEST(ScoreSettings, ReadsAndRefuses) {
  const ScoreSettings settings = parse_score_settings(
      "longbench",
      {"buckets=true", "edit_similarity=levenshtein", "rouge_recursion_limit=0", "skip_bad_records=true"});
  EXPECT_TRUE(settings.buckets && settings.skip_bad_records);
  EXPECT_EQ(settings.metric.rouge_recursion_limit, 0);
  EXPECT_EQ(settings.metric.edit_similarity, EditSimilarity::levenshtein);
  for (const char* bad : {"buckets", "buckets=yes", "rouge_recursion_limit=-1", "rouge_recursion_limit=9x",
                          "scorer=2024-06", "edit_similarity="}) {
    EXPECT_THROW(parse_score_settings("longbench", {bad}), ConfigError) << bad;
  }
}

}  // namespace
}  // namespace namm::tasks
