// The stored answers of a real model and the hand-made cases, against the scores of the official scripts.
#include <fstream>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "tasks/scoring/score_longbench.h"
#include "tasks/scoring/scoring.h"
#include "tests/support/dictionaries.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tolerances.h"

namespace namm::tasks {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

const std::filesystem::path data_folder = std::filesystem::path(NAMM_TEST_DATA) / "longbench";

MetricOptions metric_options() {
  return {.segmenters = testing::segmenters()};
}

json expected_scores() {
  return json::parse(std::ifstream(data_folder / "expected.json")).at("datasets");
}

void expect_scores(const std::string& name, const ordered_json& got, const json& wanted) {
  ASSERT_EQ(got.size(), wanted.size()) << name;
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_NEAR(got[i].get<double>(), wanted[i].get<double>(), tolerances::metrics::score)
        << name << " record " << i;
  }
}

TEST(OfficialScores, StoredAnswersOfEveryDataSet) {
  const json expected = expected_scores();
  const ordered_json scored =
      score_longbench(data_folder / "pred", std::nullopt, {.metric = metric_options(), .jobs = 2});
  size_t values = 0;
  for (const ordered_json& entry : scored.at("datasets")) {
    const std::string name = entry.at("dataset");
    const json& wanted = expected.at(name);
    EXPECT_EQ(entry.at("metric"), wanted.at("metric")) << name;
    EXPECT_EQ(entry.at("post"), wanted.at("post")) << name;
    EXPECT_EQ(entry.at("score").get<double>(), wanted.at("score").get<double>()) << name;
    EXPECT_NEAR(entry.at("mean").get<double>(), wanted.at("namm_score").get<double>(),
                100 * tolerances::metrics::score);
    expect_scores(name, entry.at("samples"), wanted.at("scores"));
    values += entry.at("samples").size();
  }
  EXPECT_EQ(scored.at("datasets").size(), expected.size());
  EXPECT_EQ(scored.at("skipped").size(), 0u);
  std::cout << "compared " << scored.at("datasets").size() << " data sets, " << values << " answers\n";
}

TEST(OfficialScores, BucketsOfLongBenchE) {
  const json expected = expected_scores();
  const ordered_json scored =
      score_longbench(data_folder / "pred", std::nullopt, {.metric = metric_options(), .buckets = true});
  for (const ordered_json& entry : scored.at("datasets")) {
    const std::string name = entry.at("dataset");
    EXPECT_EQ(json(entry.at("score")), expected.at(name).at("score_e")) << name;
  }
}

TEST(OfficialScores, CodeWithLevenshtein) {
  const json expected = expected_scores();
  ScoreSettings settings;
  settings.metric.edit_similarity = EditSimilarity::levenshtein;
  for (const std::string name : {"lcc", "repobench-p"}) {
    const ordered_json scored =
        score_longbench(data_folder / "pred" / (name + ".jsonl"), std::nullopt, settings);
    const ordered_json& entry = scored.at("datasets").at(0);
    EXPECT_EQ(entry.at("score").get<double>(), expected.at(name).at("score_levenshtein").get<double>());
    expect_scores(name, entry.at("samples"), expected.at(name).at("scores_levenshtein"));
  }
}

/// Compares the hand-made cases with one of the recorded columns; returns how many values were compared.
size_t compare_cases(const ScoreSettings& settings, const std::string& column, const std::string& metric) {
  std::map<std::string, json> cases;
  std::ifstream file(data_folder / "edge_cases.jsonl");
  for (std::string line; std::getline(file, line);) {
    const json record = json::parse(line);
    cases[record.at("id")] = record;
  }
  size_t compared = 0;
  const ordered_json scored = score_longbench_cases(data_folder / "edge_cases.jsonl", settings);
  for (const ordered_json& entry : scored.at("datasets")) {
    if (!metric.empty() && entry.at("metric") != metric) continue;
    for (const ordered_json& scored_case : entry.at("cases")) {
      const std::string id = scored_case.at("id");
      const json& record = cases.at(id);
      if (!record.contains(column)) continue;
      EXPECT_NEAR(scored_case.at("score").get<double>(), record.at(column).get<double>(),
                  tolerances::metrics::score)
          << id;
      ++compared;
    }
  }
  return compared;
}

TEST(OfficialScores, HandMadeCases) {
  const size_t compared = compare_cases({.metric = metric_options()}, "score", "");
  std::cout << "compared " << compared << " cases\n";
  EXPECT_EQ(compared, 122u);
}

TEST(OfficialScores, ChouBun) {
  const std::filesystem::path folder = std::filesystem::path(NAMM_TEST_DATA) / "choubun";
  const json expected = json::parse(std::ifstream(folder / "expected.json"));
  size_t compared = 0;
  const std::pair<ScoreSettings, const char*> columns[] = {
      {{.metric = metric_options()}, "score"},
      {{.metric = {.rouge_recursion_limit = 0, .segmenters = testing::segmenters()}}, "score_no_limit"}};
  for (const auto& [settings, column] : columns) {
    const ordered_json scored = score_cases("choubun", folder / "cases.jsonl", settings);
    EXPECT_EQ(scored.at("dictionary"), expected.at("scorer").at("dictionary"));
    for (const ordered_json& entry : scored.at("datasets")) {
      if (column == std::string("score")) {
        EXPECT_NEAR(entry.at("score").get<double>(),
                    expected.at("mean").at(entry.at("metric").get<std::string>()).get<double>(),
                    100 * tolerances::metrics::score);
      }
      for (const ordered_json& scored_case : entry.at("cases")) {
        const std::string id = scored_case.at("id");
        EXPECT_NEAR(scored_case.at("score").get<double>(),
                    expected.at("cases").at(id).at(column).get<double>(), tolerances::metrics::score)
            << id;
        ++compared;
      }
    }
  }
  EXPECT_EQ(compared, 2 * expected.at("cases").size());
}

// The cases of one metric are what a data set's predictions look like.
TEST(OfficialScores, ChouBunPredictions) {
  const std::filesystem::path folder = std::filesystem::path(NAMM_TEST_DATA) / "choubun";
  const json expected = json::parse(std::ifstream(folder / "expected.json"));
  const testing::TemporaryDirectory predictions;
  std::ifstream cases(folder / "cases.jsonl");
  for (std::string line; std::getline(cases, line);) {
    const bool is_summary = json::parse(line).at("metric") == "rouge_ja_score";
    std::ofstream(predictions / (is_summary ? "corp_sec_sum.jsonl" : "wiki_qa.jsonl"), std::ios::app)
        << line << "\n";
  }
  std::ofstream(predictions / "notes.jsonl") << "not json";
  const ordered_json scored =
      score_predictions("choubun", predictions.path(), std::nullopt, {.metric = metric_options()});
  ASSERT_EQ(scored.at("datasets").size(), 2u);
  for (const ordered_json& entry : scored.at("datasets")) {
    EXPECT_NEAR(entry.at("score").get<double>(),
                expected.at("mean").at(entry.at("metric").get<std::string>()).get<double>(),
                100 * tolerances::metrics::score);
  }
  EXPECT_EQ(scored.at("datasets").at(0).at("dataset"), "corp_sec_sum");
  EXPECT_EQ(scored.at("skipped").at(0).at("dataset"), "notes");
  EXPECT_THROW(score_predictions("choubun", predictions.path(), "trec", {.metric = metric_options()}),
               ConfigError);
  EXPECT_THROW(
      score_predictions("choubun", predictions / "notes.jsonl", std::nullopt, {.metric = metric_options()}),
      ConfigError);
  EXPECT_THROW(score_predictions("choubun", predictions.path(), "wiki_qa", {}), DataError);
}

TEST(OfficialScores, HandMadeCasesWithOtherSettings) {
  const std::string dictionaries = "dictionaries=" + testing::dictionaries().string();
  const ScoreSettings no_limit = parse_score_settings("longbench", {"rouge_recursion_limit=0", dictionaries});
  EXPECT_EQ(compare_cases(no_limit, "score_no_limit", "rouge_score"), 19u);
  EXPECT_EQ(compare_cases(no_limit, "score_no_limit", "rouge_zh_score"), 13u);
  const ScoreSettings python311 =
      parse_score_settings("longbench", {"rouge_recursion_limit=991", dictionaries});
  EXPECT_EQ(compare_cases(python311, "score_python3.11", "rouge_score"), 19u);
  const ScoreSettings chinese_python311 =
      parse_score_settings("longbench", {"rouge_recursion_limit=990", dictionaries});
  EXPECT_EQ(compare_cases(chinese_python311, "score_python3.11", "rouge_zh_score"), 13u);
  const ScoreSettings levenshtein =
      parse_score_settings("longbench", {"edit_similarity=levenshtein", dictionaries});
  EXPECT_EQ(compare_cases(levenshtein, "score_levenshtein", "code_sim_score"), 16u);
}

}  // namespace
}  // namespace namm::tasks
