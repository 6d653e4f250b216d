#include "experiments/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "experiments/cell_samples.h"
#include "experiments/table_formats.h"
#include "tests/support/temporary_directory.h"

namespace namm::experiments {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ContextResult context(int64_t sample, std::vector<double> scores, std::vector<int64_t> cached,
                      int64_t bytes) {
  ContextResult result;
  result.sample = sample;
  result.scores = std::move(scores);
  result.prompt_tokens = 100;
  result.cached_tokens = std::move(cached);
  result.cache_bytes = bytes;
  result.prefill_seconds = 0.5;
  result.decode_seconds = 0.25;
  return result;
}

/// Two tasks, the second one transfer; h2o misses namm's bytes by 3 %.
StageResult stage() {
  StageResult result;
  result.stage = "stage_1";
  result.identity = "id";
  result.evolved_on = {"needle/hop"};
  result.budget = "match_namm";
  result.memory = "abc";
  result.notes = {"It shows little."};
  result.layers = 2;
  result.kv_heads = 1;
  result.head_dim = 8;
  const auto policy = [](std::string name, std::string heads, double gain, std::vector<int64_t> cached,
                         int64_t bytes) {
    PolicyResult made{std::move(name), std::move(heads), {}};
    made.tasks.push_back(
        {"needle/hop", {context(0, {gain, 0.5}, cached, bytes), context(1, {gain, 1}, cached, bytes)}});
    made.tasks.push_back(
        {"needle/classify", {context(0, {0.5}, cached, bytes), context(1, {0.25}, cached, bytes)}});
    return made;
  };
  result.policies = {policy("full", "", 0, {100, 100}, 1000), policy("namm", "ragged", 1, {20, 60}, 400),
                     policy("h2o", "", 0, {40, 40}, 412)};
  return result;
}

TableLayout layout_of(std::vector<std::string> columns, std::vector<std::string> rows,
                      std::vector<std::string> differences = {"full"}) {
  TableLayout layout;
  layout.columns = std::move(columns);
  layout.rows = std::move(rows);
  layout.differences = std::move(differences);
  return layout;
}

const TableRow& row(const Table& table, const std::string& policy) {
  for (const auto& candidate : table.rows) {
    if (candidate.policy == policy) return candidate;
  }
  throw std::runtime_error("no row " + policy);
}

TEST(Table, NammMixIsTheSubjectWhereNammIsNotThere) {
  StageResult mixed = stage();
  mixed.policies[1].policy = "namm-mix";
  const Table table = make_table({{"run", {mixed}}});
  ASSERT_EQ(table.differences.size(), 1);
  EXPECT_EQ(table.differences[0].subject, "namm-mix");
  EXPECT_TRUE(row(table, "h2o").cells.at("needle/hop").cache_differs);
  EXPECT_FALSE(row(make_table({{"run", {mixed}}},
                              [] {
                                TableLayout layout;
                                layout.subject = "namm";
                                return layout;
                              }()),
                   "h2o")
                   .cells.at("needle/hop")
                   .cache_differs)
      << "the named subject is not there";
}

TEST(Table, WithoutAMemoryTheFirstRowWithABudgetIsTheMeasure) {
  StageResult plain = stage();
  plain.policies[1].policy = "recency";
  plain.budget = "65536 bytes";
  const Table table = make_table({{"run", {plain}}});
  EXPECT_FALSE(row(table, "full").cells.at("needle/hop").cache_differs);
  EXPECT_FALSE(row(table, "recency").cells.at("needle/hop").cache_differs);
  EXPECT_TRUE(row(table, "h2o").cells.at("needle/hop").cache_differs);
  EXPECT_THAT(to_markdown(table), HasSubstr("first row's with a budget"));
}

TEST(Table, WhatIsProtectedBeyondABudgetIsSaid) {
  StageResult guarded = stage();
  EXPECT_THAT(to_markdown(make_table({{"run", {guarded}}})), Not(HasSubstr("‡")));
  guarded.policies[2].tasks[0].contexts[1].excess_tokens = 10;  // of two heads, in one of two contexts
  const Table table = make_table({{"run", {guarded}}});
  EXPECT_DOUBLE_EQ(row(table, "h2o").cells.at("needle/hop").excess_tokens, 2.5);
  EXPECT_THAT(to_markdown(table), HasSubstr("up to 2.5 tokens a head beyond"));
  EXPECT_THAT(to_csv(table), HasSubstr("excess_tokens"));
  EXPECT_THAT(to_latex(table), HasSubstr("ddagger"));
  EXPECT_DOUBLE_EQ(to_json(table)["rows"][2]["cells"]["needle/hop"]["excess_tokens"], 2.5);
}

TEST(Table, CellsAreMeansOverContexts) {
  const Table table = make_table({{"run", {stage()}}});
  const TableCell& cell = row(table, "namm").cells.at("needle/hop");
  EXPECT_DOUBLE_EQ(cell.score.mean, 87.5);  // contexts 75 and 100, not questions
  EXPECT_EQ(cell.score.n, 2);
  EXPECT_DOUBLE_EQ(cell.cache_tokens, 40);
  EXPECT_DOUBLE_EQ(cell.cache_fraction, 0.4);
  EXPECT_DOUBLE_EQ(cell.cache_bytes, 400);
  EXPECT_FALSE(cell.cache_differs);
  EXPECT_FALSE(row(table, "full").cells.at("needle/hop").cache_differs);
  EXPECT_TRUE(row(table, "h2o").cells.at("needle/hop").cache_differs);
}

TEST(Table, DifferencesArePairedAndNameTheirRows) {
  const Table table = make_table({{"run", {stage()}}}, layout_of({}, {}, {"full", "h2o", "absent"}));
  ASSERT_EQ(table.differences.size(), 2);
  EXPECT_EQ(table.differences[0].against, "full");
  const Estimate& gain = table.differences[0].cells.at("needle/hop");
  EXPECT_DOUBLE_EQ(gain.mean, 50);
  EXPECT_FALSE(gain.has_interval()) << "each context gains the same";
  EXPECT_DOUBLE_EQ(table.differences[0].means.at("mean").mean, 25);
  EXPECT_FALSE(table.differences[0].means.at("mean").has_interval());
  EXPECT_THAT(to_markdown(table), HasSubstr("No interval (±)"));
}

TEST(Table, TransferIsMarkedOnlyWhereAllMemoriesAgree) {
  StageResult other = stage();
  other.evolved_on = {"needle/hop", "needle/classify"};
  const std::string text = to_markdown(make_table({{"a", {stage()}}, {"b", {other}}}));
  EXPECT_THAT(text, Not(HasSubstr("ransfer")));
  EXPECT_THAT(text, Not(HasSubstr("mean of evolved")));
  EXPECT_THAT(text, HasSubstr("- a: stage_1: needle/hop\n- b: stage_1: needle/hop, needle/classify\n"));
  // A stage without a memory has no say, nor one of which no row is shown, nor tasks that are not shown.
  other.policies.erase(other.policies.begin() + 1);
  other.memory.clear();
  EXPECT_THAT(to_markdown(make_table({{"a", {stage()}}, {"b", {other}}})), HasSubstr("(transfer)"));
  other = stage();
  other.evolved_on.push_back("needle/stale");
  EXPECT_THAT(to_markdown(make_table({{"a", {stage()}}, {"b", {other}}})), HasSubstr("(transfer)"));
}

TEST(Table, MemoryOfUnknownOriginMarksNothing) {
  StageResult unknown = stage();
  unknown.evolved_on.clear();
  const std::string text = to_markdown(make_table({{"a", {unknown}}}));
  EXPECT_THAT(text, Not(HasSubstr("ransfer")));
  EXPECT_THAT(text, HasSubstr("- a: stage_1: not known"));
}

TEST(Table, GroupsMayHoldTasksThatAreNotShown) {
  TableLayout layout = layout_of({"needle/classify"}, {});
  layout.groups = {{"both", {"needle/hop", "needle/classify"}}};
  const Table table = make_table({{"run", {stage()}}}, layout);
  EXPECT_DOUBLE_EQ(row(table, "namm").means.at("both").score.mean, 62.5);
  EXPECT_DOUBLE_EQ(row(table, "namm").means.at("both").cache_fraction, 0.4);
  EXPECT_DOUBLE_EQ(table.differences[0].means.at("both").mean, 25);
}

TEST(Table, GroupsNeedTasksAndANameOfTheirOwn) {
  const auto read = [](const std::string& groups) {
    read_config<TableLayout>(ConfigDocument::from_text("groups: {" + groups + "}\n", "layout.yaml"));
  };
  EXPECT_NO_THROW(read("mine: [needle/hop]"));
  for (const char* wrong :
       {"mean: [needle/hop]", "mean of transfer: [needle/hop]", "needle/hop: [needle/stale]", "mine: []"}) {
    EXPECT_THROW(read(wrong), ConfigError) << wrong;
  }
}

TEST(Table, MeansAndNormalisedAverage) {
  const Table table = make_table({{"run", {stage()}}});
  EXPECT_THAT(table.mean_columns, ::testing::ElementsAre("mean of evolved", "mean of transfer", "mean"));
  EXPECT_DOUBLE_EQ(row(table, "namm").means.at("mean of evolved").score.mean, 87.5);
  EXPECT_DOUBLE_EQ(row(table, "namm").means.at("mean of transfer").score.mean, 37.5);
  EXPECT_DOUBLE_EQ(row(table, "namm").normalized_average.value(), (87.5 / 37.5 + 1) / 2);
  EXPECT_DOUBLE_EQ(row(table, "full").normalized_average.value(), 1);
}

TEST(Table, MarkdownSaysEverythingThatACellNeeds) {
  const std::string text = to_markdown(make_table({{"run", {stage()}}}));
  EXPECT_THAT(text, HasSubstr("namm (ragged)"));
  EXPECT_THAT(text, HasSubstr("needle/classify (transfer)"));
  EXPECT_THAT(text, HasSubstr("40.0 %, 40 tok, 400 bytes"));
  EXPECT_THAT(text, HasSubstr("412 bytes †"));
  EXPECT_THAT(text, HasSubstr("(n 2)"));
  EXPECT_THAT(text, HasSubstr("namm − full"));
  EXPECT_THAT(text, HasSubstr("evolved on: needle/hop"));
  EXPECT_THAT(text, HasSubstr("- It shows little."));
  EXPECT_THAT(text, HasSubstr("match_namm"));
}

TEST(Table, ValidationScoresAreNamedAsSuch) {
  StageResult result = stage();
  EXPECT_THAT(to_markdown(make_table({{"run", {result}}})), ::testing::Not(HasSubstr("held-out")));
  EXPECT_EQ(to_json(make_table({{"run", {result}}}))["held_out"], true);
  result.split = "validation";
  EXPECT_THAT(to_markdown(make_table({{"run", {result}}})), HasSubstr("these are not held-out scores"));
  EXPECT_EQ(to_json(make_table({{"run", {result}}}))["held_out"], false);
}

TEST(Table, JsonIsTheDocumentedDocument) {
  const auto document = nlohmann::json::parse(to_json(make_table({{"run", {stage()}}})).dump());
  EXPECT_EQ(document["columns"], nlohmann::json({"needle/hop", "needle/classify"}));
  const auto& entry = document["rows"][1];
  EXPECT_EQ(entry["policy"], "namm");
  EXPECT_EQ(entry["heads"], "ragged");
  for (const char* key : {"score", "low", "high", "n", "cache_fraction", "cache_tokens", "cache_bytes"}) {
    EXPECT_TRUE(entry["cells"]["needle/hop"].contains(key)) << key;
  }
  EXPECT_EQ(entry["average"], 62.5);
  EXPECT_TRUE(document["rows"][0]["heads"].is_null());
}

TEST(Table, CsvAndLatex) {
  const Table table = make_table({{"run", {stage()}}});
  EXPECT_THAT(to_csv(table), HasSubstr("namm,namm,ragged,needle/hop,87.500000,"));
  EXPECT_THAT(to_latex(table), HasSubstr("\\begin{tabular}{lrrrrr}"));
  EXPECT_THAT(to_latex(table), HasSubstr("mean of evolved"));
}

TEST(Table, LayoutChoosesAndRefusesUnknownNames) {
  const Table table = make_table({{"run", {stage()}}}, layout_of({"needle/classify"}, {"namm", "full"}));
  EXPECT_EQ(table.rows[0].policy, "namm");
  EXPECT_THAT(to_markdown(table), Not(HasSubstr("needle/hop |")));
  EXPECT_THROW(make_table({{"run", {stage()}}}, layout_of({"needle/stale"}, {})), ConfigError);
  EXPECT_THROW(make_table({{"run", {stage()}}}, layout_of({}, {"none"})), ConfigError);
  EXPECT_THROW(make_table({{"run", {}}}), ConfigError);
}

TEST(Table, MeansOfMeansPublishedRowsAndRatios) {
  TableLayout layout = layout_of({"needle/hop", "needle/classify", "needle/stale"}, {});
  layout.groups = {{"both", {"needle/hop", "needle/classify"}}, {"lacking", {"needle/hop", "needle/stale"}}};
  layout.averages = {{"average", {{"needle/hop", "needle/classify"}, {"needle/hop"}}}};
  layout.normalized = true;
  layout.published = {{"theirs", "A paper, table 1", {{"needle/hop", 40.0}, {"needle/classify", 20.0}}},
                      {"other", "Another paper", {{"needle/stale", 1.0}}}};
  const Table table = make_table({{"run", {stage()}}}, layout);
  EXPECT_THAT(table.left_out, ::testing::ElementsAre("needle/stale", "lacking"));
  ASSERT_EQ(table.published.size(), 1);
  EXPECT_DOUBLE_EQ(table.published_means[0].at("both"), 30);
  EXPECT_DOUBLE_EQ(table.published_means[0].at("average"), 35);
  // hop 87.5, classify 37.5
  EXPECT_DOUBLE_EQ(row(table, "namm").means.at("both").score.mean, 62.5);
  EXPECT_DOUBLE_EQ(row(table, "namm").means.at("average").score.mean, (62.5 + 87.5) / 2);
  EXPECT_EQ(row(table, "namm").means.at("average").score.n, 6);
  EXPECT_DOUBLE_EQ(*row(table, "namm").normalized_average, (87.5 / 37.5 + 1) / 2);
  const std::string text = to_markdown(table);
  for (const char* part :
       {"theirs [1]", "[1] A paper, table 1.", "normalised (full = 1)", "1.667",
        "Left out, the results lack their tasks: needle/stale, lacking.", "but average: means over groups"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(to_csv(table), HasSubstr("theirs,published,,needle/hop,40.000000"));
  EXPECT_THAT(to_latex(table), HasSubstr("theirs (published) & 40.0 & 20.0"));
  EXPECT_EQ(to_json(table)["published"][0]["source"], "A paper, table 1");
}

TEST(Table, AnswersThatTheOfficialScorerFailsOnAreCounted) {
  StageResult failing = stage();
  EXPECT_THAT(to_markdown(make_table({{"run", {failing}}})), Not(HasSubstr("scorer fails")));
  failing.policies[1].tasks[0].contexts[0].unscored = 2;
  EXPECT_THAT(to_markdown(make_table({{"run", {failing}}})), HasSubstr("scorer fails on 2 answers"));
}

TEST(Table, LayoutsThatComeWithTheProgramAreRead) {
  for (const auto& file : std::filesystem::directory_iterator(NAMM_SOURCE_DIR "/configs/table")) {
    EXPECT_NO_THROW(read_config<TableLayout>(ConfigDocument::load(file.path()))) << file.path();
  }
  const auto error_of = [](const std::string& text) {
    try {
      read_config<TableLayout>(ConfigDocument::from_text(text, "a.yaml"));
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(error_of("columns: [needle/hops]"), HasSubstr("did you mean needle/hop?"));
  EXPECT_THAT(error_of("averages: {x: [[needle/hop], []]}"), HasSubstr("one task at least"));
  EXPECT_THAT(error_of("averages: {mean: [[needle/hop]]}"), HasSubstr("another name"));
  EXPECT_THAT(error_of("{groups: {x: [needle/hop]}, averages: {x: [[needle/hop]]}}"),
              HasSubstr("another name"));
  EXPECT_THAT(error_of("published: [{method: a, source: b, scores: {needle/none: 1}}]"),
              HasSubstr("needle/none"));
  EXPECT_THAT(error_of("published: [{method: a, scores: {needle/hop: 1}}]"), HasSubstr("source"));
}

TEST(Table, SeveralRunsAreToldApart) {
  const Table table = make_table({{"a", {stage()}}, {"b", {stage()}}});
  EXPECT_EQ(table.rows.size(), 6);
  EXPECT_EQ(table.rows[1].label, "a: namm");
  EXPECT_EQ(table.rows[4].label, "b: namm");
}

TEST(Table, ExplainListsTheContexts) {
  const std::string text = explain_cell({{"run", {stage()}}}, "namm:needle/hop");
  EXPECT_THAT(text, HasSubstr("87.50"));
  EXPECT_THAT(text, HasSubstr("1.00 0.50"));
  EXPECT_THROW(explain_cell({{"run", {stage()}}}, "namm:needle/none"), ConfigError);
  EXPECT_THROW(explain_cell({{"run", {stage()}}}, "namm"), ConfigError);
}

TEST(Results, NumbersThatDoNotFitAreRefused) {
  const namm::testing::TemporaryDirectory folder;
  const auto file = folder.path() / "results.h5";
  const auto refuses = [&](const std::function<void(StageResult&)>& change) {
    std::vector<StageResult> stages{stage()};
    change(stages[0]);
    write_results(file, stages);
    EXPECT_THROW(read_results(file), DataError);
  };
  refuses([](StageResult& s) { s.policies[1].tasks[0].contexts[0].scores.clear(); });
  refuses([](StageResult& s) { s.policies[1].tasks[0].contexts[1].prompt_tokens = 0; });
  refuses([](StageResult& s) { s.head_dim = 0; });
  refuses([](StageResult& s) {
    s.layers = 0;
    for (auto& policy : s.policies) {
      for (auto& task : policy.tasks) {
        for (auto& context : task.contexts) context.cached_tokens.clear();
      }
    }
  });
}

TEST(Results, FileGivesBackWhatWasWritten) {
  const namm::testing::TemporaryDirectory folder;
  const auto file = folder.path() / "results.h5";
  const std::vector<StageResult> stages{stage()};
  write_results(file, stages);
  EXPECT_EQ(read_results(file), stages);
  std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
  EXPECT_THROW(read_results(file), DataError);
}

}  // namespace
}  // namespace namm::experiments
