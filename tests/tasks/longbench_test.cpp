#include "tasks/longbench.h"

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/sha256.h"
#include "tasks/longbench_tasks.h"
#include "tasks/metrics/metric_list.h"
#include "tests/support/dictionaries.h"
#include "tests/support/temporary_directory.h"
#include "tests/tasks/codecs.h"

namespace namm::tasks {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const std::filesystem::path record_folder = std::filesystem::path(NAMM_TEST_DATA) / "longbench";

const TaskConfig all_test{.record_splits = "test"};

DataConfig shipped() {
  return {.longbench = {record_folder}, .prompts = {}};
}

class LongBenchFiles : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }

  DataConfig here(bool prompts = false) const {
    return {.longbench = {folder_.path()}, .prompts = {prompts ? folder_.path() : std::filesystem::path()}};
  }

  std::string error_of(const std::string& task, const TaskConfig& config, const DataConfig& data) {
    try {
      make_task(task, config, data);
    } catch (const DataError& error) {
      return error.what();
    }
    ADD_FAILURE() << "no DataError";
    return "";
  }

  testing::TemporaryDirectory folder_;
  testing::PieceCodec codec_;
};

std::string record(const std::string& answer, int number = 0) {
  return json{{"input", "Where?"},
              {"context", "Number " + std::to_string(number) + " lies in " + answer + "."},
              {"answers", {answer}},
              {"length", 5},
              {"dataset", "qasper"},
              {"language", "en"},
              {"all_classes", nullptr},
              {"_id", "id" + std::to_string(number)}}
             .dump() +
         "\n";
}

TEST_F(LongBenchFiles, ReadsRecordsAndMakesPrompts) {
  write("qasper.jsonl", record("Oslo", 0) + record("Rome", 1));
  const auto task = make_task("longbench/qasper", all_test, here());
  EXPECT_EQ(task->count(Split::test), 2);
  EXPECT_EQ(task->count(Split::train), 0);
  EXPECT_TRUE(task->info().unofficial_prompts);
  EXPECT_TRUE(task->info().chat);
  const Sample sample = task->sample(Split::test, 1, codec_);
  EXPECT_EQ(sample.record_id, "id1");
  EXPECT_EQ(sample.length, 5);
  ASSERT_EQ(sample.questions.size(), 1u);
  const Question& question = sample.questions[0];
  EXPECT_TRUE(question.text.empty() && question.ids.empty());
  EXPECT_THAT(sample.context, HasSubstr("Number 1 lies in Rome."));
  EXPECT_THAT(sample.context, HasSubstr("Where?"));
  EXPECT_EQ(question.target, " Rome");
  EXPECT_EQ(question.generation_tokens, 128);
  EXPECT_EQ(task->score("It is rome!", question), 0.5);
  EXPECT_THROW(task->sample(Split::test, 2, codec_), ConfigError);
  EXPECT_THROW(task->sample(Split::train, 0, codec_), ConfigError);
}

TEST_F(LongBenchFiles, OfficialPromptsComeFromTheUsersFolder) {
  write("qasper.jsonl", record("Oslo"));
  write("dataset2prompt.json", R"({"qasper": "Read.\n{context} {{!}} {input} "})");
  write("dataset2maxlen.json", R"({"qasper": 77})");
  const auto task = make_task("longbench/qasper", all_test, here(true));
  EXPECT_FALSE(task->info().unofficial_prompts);
  const Sample sample = task->sample(Split::test, 0, codec_);
  EXPECT_EQ(sample.context, "Read.\nNumber 0 lies in Oslo. {!} Where? ");
  EXPECT_EQ(sample.questions[0].target, "Oslo");  // the prompt ends in a blank
  const testing::BlankCodec blanks;
  const std::vector<int64_t> target = task->sample(Split::test, 0, blanks).questions[0].target_ids;
  EXPECT_EQ(blanks.decode(target, true), "Oslo") << "no second blank where an answer goes on";
  EXPECT_EQ(sample.questions[0].generation_tokens, 77);
  EXPECT_EQ(prompt_sha256(sample, sample.questions[0]), sha256_hex(sample.context));
}

TEST_F(LongBenchFiles, BrokenPromptFiles) {
  write("qasper.jsonl", record("Oslo"));
  EXPECT_THAT(error_of("longbench/qasper", {}, here(true)), HasSubstr("dataset2prompt.json"));
  write("dataset2prompt.json", R"({"trec": "x"})");
  EXPECT_THAT(error_of("longbench/qasper", {}, here(true)), HasSubstr("no entry 'qasper'"));
  write("dataset2prompt.json", R"({"qasper": "{question}"})");
  EXPECT_THAT(error_of("longbench/qasper", {}, here(true)), HasSubstr("dataset2maxlen.json"));
  write("dataset2maxlen.json", R"({"qasper": 0})");
  EXPECT_THAT(error_of("longbench/qasper", {}, here(true)), HasSubstr("number of tokens"));
  write("dataset2maxlen.json", R"({"qasper": 64})");
  EXPECT_THAT(error_of("longbench/qasper", {}, here(true)), HasSubstr("question"));
  write("dataset2prompt.json", R"({"qasper": ")");
  EXPECT_THAT(error_of("longbench/qasper", {}, here(true)), HasSubstr("dataset2prompt.json"));
}

TEST_F(LongBenchFiles, NamesFileAndLineOfBadRecordsOrSkipsThem) {
  const std::string good = record("Oslo");
  for (const std::string& bad : std::vector<std::string>{
           std::string("{\"input\": \"x\""), std::string("[]"),
           std::string(R"({"input": "x", "context": "y", "length": 1})"),
           std::string(R"({"input": "x", "context": "y", "answers": [], "length": 1})"),
           std::string(R"({"input": 1, "context": "y", "answers": ["a"], "length": 1})"),
           std::string(R"({"input": "x", "context": "y", "answers": ["a"], "length": NaN})"),
           std::string(
               R"({"input": "x", "context": "y", "answers": ["a"], "length": 1, "all_classes": [null]})"),
           std::string(R"({"input": "x", "context": "y", "answers": ["a"], "length": 1, "all_classes": 1})"),
           std::string("{\"input\": \"\xFF\"}")}) {
    write("qasper.jsonl", good + bad + "\n" + record("Rome", 2));
    EXPECT_THAT(error_of("longbench/qasper", {}, here()), HasSubstr("qasper.jsonl:2")) << bad;
    const auto task =
        make_task("longbench/qasper", {.record_splits = "test", .skip_bad_records = true}, here());
    EXPECT_EQ(task->info().skipped_records, 1) << bad;
    EXPECT_EQ(task->count(Split::test), 2) << bad;
    EXPECT_EQ(task->sample(Split::test, 1, codec_).questions[0].answers[0], "Rome") << bad;
  }
}

TEST_F(LongBenchFiles, AcceptsWindowsLinesAndEmptyLines) {
  std::string first = record("Oslo");
  first.insert(first.size() - 1, "\r");
  write("qasper.jsonl", "\n" + first + "\n\n" + record("Rome", 1) + "\n");
  const auto task = make_task("longbench/qasper", all_test, here());
  ASSERT_EQ(task->count(Split::test), 2);
  EXPECT_EQ(task->sample(Split::test, 0, codec_).questions[0].answers[0], "Oslo");
  EXPECT_EQ(task->sample(Split::test, 1, codec_).questions[0].answers[0], "Rome");
}

TEST_F(LongBenchFiles, MissingOrUselessFiles) {
  EXPECT_THAT(error_of("longbench/qasper", {}, here()), HasSubstr("qasper.jsonl"));
  write("qasper.jsonl", "");
  EXPECT_THAT(error_of("longbench/qasper", {}, here()), HasSubstr("no usable record"));
  EXPECT_THAT(error_of("longbench/qasper", {}, {.longbench = {"/data/longbench.zip"}, .prompts = {}}),
              HasSubstr("/data/longbench.zip: not there"));
  EXPECT_THROW(make_task("longbench/qasper", all_test), ConfigError);
  write("passage_retrieval_en.jsonl", record("third"));
  EXPECT_THAT(error_of("longbench/passage_retrieval_en", {}, here()), HasSubstr("Paragraph"));
}

TEST_F(LongBenchFiles, SplitsOfRecords) {
  std::string all;
  for (int i = 0; i < 60; ++i) all += record("Oslo", i);
  write("qasper.jsonl", all);
  const auto ids_of = [&](const Task& task, Split split) {
    std::set<std::string> ids;
    for (int64_t i = 0; i < *task.count(split); ++i) ids.insert(task.sample(split, i, codec_).record_id);
    return ids;
  };
  const auto shared = make_task("longbench/qasper", {.record_splits = "shared"}, here());
  EXPECT_EQ(ids_of(*shared, Split::train), ids_of(*shared, Split::test));
  const auto disjoint = make_task("longbench/qasper", {.record_splits = "disjoint"}, here());
  std::set<std::string> seen;
  for (Split split : {Split::train, Split::validation, Split::test}) {
    const std::set<std::string> ids = ids_of(*disjoint, split);
    EXPECT_FALSE(ids.empty());
    for (const std::string& id : ids) EXPECT_TRUE(seen.insert(id).second) << id;
  }
  EXPECT_EQ(seen.size(), 60u);
  EXPECT_GT(disjoint->count(Split::test), disjoint->count(Split::validation));
}

TEST_F(LongBenchFiles, QuestionsAboutOneDocumentStandOnOneSide) {
  const auto write_questions = [&](const std::string& file, int questions) {
    std::string all;
    for (int i = 0; i < 30 * questions; ++i) {
      json one = json::parse(record("Oslo", i));
      one["context"] = "Document " + std::to_string(i % 30);
      all += one.dump() + "\n";
    }
    write(file, all);
  };
  write_questions("qasper.jsonl", 6);
  write_questions("hotpotqa.jsonl", 2);
  write_questions("qasper_e.jsonl", 3);
  std::map<std::string, std::set<Split>> splits;
  for (const char* name : {"longbench/qasper", "longbench/hotpotqa", "longbench-e/qasper"}) {
    const auto task = make_task(name, {}, here());
    for (Split split : {Split::train, Split::validation, Split::test}) {
      for (int64_t i = 0; i < *task->count(split); ++i) {
        const Sample sample = task->sample(split, i, codec_);
        splits[sample.context.substr(0, sample.context.find('\n'))].insert(split);
      }
    }
  }
  EXPECT_EQ(splits.size(), 30u);
  std::set<Split> used;
  for (const auto& [document, sides] : splits) {
    EXPECT_EQ(sides.size(), 1u) << document;
    used.insert(sides.begin(), sides.end());
  }
  EXPECT_EQ(used.size(), 3u);
}

TEST_F(LongBenchFiles, ARepairedFileKeepsItsSplits) {
  std::string whole, broken;
  for (int i = 0; i < 60; ++i) {
    whole += record("Oslo", i);
    broken += i % 7 == 1 ? "{\n" : i % 7 == 4 ? "{\"input\": 1}\n" : record("Oslo", i);
  }
  const TaskConfig config{.record_splits = "disjoint", .skip_bad_records = true};
  const auto split_of_records = [&](const std::string& text) {
    write("qasper.jsonl", text);
    const auto task = make_task("longbench/qasper", config, here());
    std::map<std::string, Split> splits;
    for (Split split : {Split::train, Split::validation, Split::test}) {
      for (int64_t i = 0; i < *task->count(split); ++i)
        splits[task->sample(split, i, codec_).record_id] = split;
    }
    return splits;
  };
  const auto repaired = split_of_records(whole), damaged = split_of_records(broken);
  EXPECT_EQ(repaired.size(), 60u);
  EXPECT_EQ(damaged.size(), 43u);
  for (const auto& [id, split] : damaged) EXPECT_EQ(split, repaired.at(id)) << id;
}

TEST_F(LongBenchFiles, AFileThatChangesLaterIsNamedWithItsLine) {
  const std::string first = record("Oslo", 0), good = record("Oslo", 1), last = record("Oslo", 2);
  for (const bool skip : {false, true}) {
    write("qasper.jsonl", (skip ? "{\n" : "\n") + first + good + last);
    const auto task =
        make_task("longbench/qasper", {.record_splits = "test", .skip_bad_records = skip}, here());
    EXPECT_EQ(task->sample(Split::test, 1, codec_).record_id, "id1");
    std::string other = good, none = good;
    other.replace(other.find("input"), 5, "outpu");
    none[0] = ' ';
    for (const std::string& now : {other, none}) {
      write("qasper.jsonl", (skip ? "{\n" : "\n") + first + now + last);
      try {
        task->sample(Split::test, 1, codec_);
        ADD_FAILURE() << now;
      } catch (const DataError& error) {
        EXPECT_THAT(error.what(), HasSubstr("qasper.jsonl:3: "));
      }
    }
  }
}

TEST_F(LongBenchFiles, WhetherABlankIsNeededDependsOnTheLastCharacter) {
  write("qasper.jsonl", record("Oslo"));
  write("dataset2maxlen.json", R"({"qasper": 77})");
  const auto target_behind = [&](const std::string& end) {
    write("dataset2prompt.json", json{{"qasper", "{context}" + end}}.dump());
    return make_task("longbench/qasper", all_test, here(true))
        ->sample(Split::test, 0, codec_)
        .questions[0]
        .target;
  };
  EXPECT_EQ(target_behind("\u3000"), "Oslo");
  EXPECT_EQ(target_behind("\u00A0"), "Oslo");
  EXPECT_EQ(target_behind("\u00C5"), " Oslo");  // C3 85
  EXPECT_EQ(target_behind("\u00E0"), " Oslo");  // C3 A0
}

// Without a limit of its own a prompt leaves room for the answer in the model's positions.
TEST_F(LongBenchFiles, PromptsFitTheModel) {
  const auto tokens = [&](const TaskConfig& config, int64_t max_positions) {
    const Sample sample =
        make_task("longbench/2wikimqa", config, shipped(), max_positions)->sample(Split::test, 0, codec_);
    EXPECT_EQ(sample.truncated, sample.original_tokens > std::ssize(sample.context_ids));
    return std::ssize(sample.context_ids);
  };
  const int64_t whole = tokens({}, 0), answer = 32;
  EXPECT_EQ(tokens({}, whole + answer), whole);
  EXPECT_NEAR(static_cast<double>(tokens({}, 300)), 300 - answer, 3);
  EXPECT_NEAR(static_cast<double>(tokens({.truncation = "released"}, 300)), 300 - answer, 3);
  EXPECT_NEAR(static_cast<double>(tokens({.max_prompt_tokens = 200}, 300)), 200, 3);
  EXPECT_THROW(tokens({}, 20), ConfigError);
}

TEST_F(LongBenchFiles, TruncatesInTheMiddleAndSaysSo) {
  const auto whole = make_task("longbench/2wikimqa", all_test, shipped())->sample(Split::test, 0, codec_);
  EXPECT_FALSE(whole.truncated);
  const auto task =
      make_task("longbench/2wikimqa", {.max_prompt_tokens = 200, .record_splits = "test"}, shipped());
  const Sample cut = task->sample(Split::test, 0, codec_);
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(cut.original_tokens, std::ssize(whole.context_ids));
  EXPECT_NEAR(static_cast<double>(cut.context_ids.size()), 200, 3);
  EXPECT_EQ(cut.context.substr(cut.context.size() - 100), whole.context.substr(whole.context.size() - 100));
  EXPECT_EQ(cut.context.substr(0, 100), whole.context.substr(0, 100));
}

TEST_F(LongBenchFiles, SamsumFollowsTheChosenRule) {
  const TaskInfo official = make_task("longbench/samsum", all_test, shipped())->info();
  EXPECT_TRUE(official.stop_at_newline);
  EXPECT_EQ(official.minimum_new_tokens, 1);
  EXPECT_FALSE(official.cut_at_newline || official.chat);
  const TaskInfo released = make_task("longbench/samsum", {.truncation = "released"}, shipped())->info();
  EXPECT_TRUE(released.cut_at_newline);
  EXPECT_FALSE(released.stop_at_newline);
}

TEST_F(LongBenchFiles, PredictionRecordHasTheOfficialFields) {
  const auto task = make_task("longbench/trec", all_test, shipped());
  const Sample sample = task->sample(Split::test, 0, codec_);
  const nlohmann::ordered_json line = prediction_record(sample, 0, "City \xFF", 0.5);
  std::vector<std::string> fields;
  for (const auto& [key, value] : line.items()) fields.push_back(key);
  EXPECT_EQ((std::vector<std::string>(fields.begin(), fields.begin() + 4)),
            (std::vector<std::string>{"pred", "answers", "all_classes", "length"}));
  EXPECT_EQ(line.at("pred"), "City \uFFFD");
  EXPECT_EQ(line.at("all_classes").size(), 50u);
  EXPECT_EQ(line.at("prompt_sha256"), sha256_hex(sample.context));
  EXPECT_EQ(line.at("_id"), sample.record_id);
}

TEST_F(LongBenchFiles, ScoresCodeByTheChosenLibrary) {
  const TaskConfig config{.edit_similarity = "levenshtein"};
  Question question;
  for (int i = 0; i < 120; ++i) question.answers.resize(1), question.answers[0] += "ba";
  std::string prediction;
  for (int i = 0; i < 120; ++i) prediction += "ab";
  EXPECT_EQ(make_task("longbench/lcc", all_test, shipped())->score(prediction, question), 0);
  EXPECT_EQ(make_task("longbench/lcc", config, shipped())->score(prediction, question), 1);
}

// The templates are the user's download and not in this repository.
TEST_F(LongBenchFiles, OfficialPromptsHaveTheRecordedHashes) {
  const char* prompts = std::getenv("NAMM_LONGBENCH_CONFIG");
  if (!prompts) GTEST_SKIP() << "set NAMM_LONGBENCH_CONFIG to the official LongBench/config folder";
  const char* records = std::getenv("NAMM_LONGBENCH_DATA");
  const json expected = json::parse(std::ifstream(record_folder / "prompts.json"));
  const DataConfig data{.longbench = {records ? std::filesystem::path(records) : record_folder},
                        .prompts = {prompts},
                        .dictionaries = {testing::dictionaries()}};
  int compared = 0;
  for (const auto& [name, entries] : expected.items()) {
    const auto task = make_task("longbench/" + name, all_test, data);
    for (int64_t i = 0; i < *task->count(Split::test); ++i) {
      const Sample sample = task->sample(Split::test, i, codec_);
      for (const json& entry : entries) {
        if (entry.at("_id") != sample.record_id) continue;
        EXPECT_EQ(prompt_sha256(sample, sample.questions[0]), entry.at("sha256")) << name << " " << i;
        ++compared;
      }
    }
  }
  std::cout << "compared " << compared << " prompts\n";
  EXPECT_GE(compared, 21);
}

}  // namespace
}  // namespace namm::tasks
