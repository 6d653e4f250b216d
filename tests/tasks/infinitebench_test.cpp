#include "tasks/infinitebench.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/files.h"
#include "tasks/infinitebench_tasks.h"
#include "tests/support/temporary_directory.h"
#include "tests/tasks/benchmark_records.h"
#include "tests/tasks/codecs.h"

namespace namm::tasks {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class InfiniteBenchFiles : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) { write_atomically(folder_ / name, text); }
  void write(const std::string& task, const json& record) { write(task + ".jsonl", record.dump() + "\n"); }

  std::unique_ptr<Task> open(const std::string& task, TaskConfig config = {}, bool prompts = false) {
    config.record_splits = "test";
    return make_task("infinitebench/" + task, config,
                     {.infinitebench = {folder_.path()},
                      .infinitebench_prompts = {prompts ? folder_.path() : std::filesystem::path()}});
  }

  Sample sample(const std::string& task, const json& record, bool prompts = false) {
    write(task, record);
    return open(task, {}, prompts)->sample(Split::test, 0, codec_);
  }

  std::string error_of(const std::string& task, const json& record, bool prompts = false) {
    write(task, record);
    try {
      open(task, {}, prompts);
    } catch (const DataError& error) {
      return error.what();
    }
    ADD_FAILURE() << "no DataError";
    return "";
  }

  testing::TemporaryDirectory folder_;
  testing::PieceCodec codec_;
};

/// In the shape of the official files; the texts are ours.
constexpr const char* prompt_file = R"(# templates
yarn_mistral_templates = {
    "passkey": "Find it.\n\n{context}\n\n{input}\n\nIt is",  # noqa
    # "code_run": "no {more}",
    "code_run": "Call {func}.\n" "{context}\nValue of {func_call}:",
    "math_find": "{prefix}\n\n{context}\n\n{input}",
    "longbook_choice_eng": "{context}\n{question}\nA. {OPTION_A}\nB. {OPTION_B}\nC. {OPTION_C}\nD. {OPTION_D}\n" + "Letter",
    "kv_retrieval": "{document}",
}
gpt4_templates = {"passkey": "{context}"}
)";
constexpr const char* utils_file = R"(import re
DATA_NAME_TO_MAX_NEW_TOKENS = {
    "passkey": 7,
    "code_run": 5, "math_find": 3, "longbook_choice_eng": 40, "kv_retrieval": 50,
}
def create_prompt(eg):
        prefix = f"Find {target_number} here."
        return prefix
)";

TEST_F(InfiniteBenchFiles, OfficialPromptsComeFromTheUsersFolder) {
  write("prompt.py", std::string(prompt_file));
  write("eval_utils.py", std::string(utils_file));
  const auto prompt = [&](const std::string& task) {
    return sample(task, testing::infinitebench_record(task, 3), true).context;
  };
  EXPECT_EQ(prompt("passkey"),
            "Find it.\n\nThe number of box 1003 is 1003.\n\nWhat is in box 1003?\n\nIt is");
  EXPECT_EQ(prompt("code_run"), "Call func_1003.\nThe number of box 1003 is 1003.\nValue of func_1003(-3):");
  EXPECT_THAT(prompt("math_find"), HasSubstr("Find the second smallest number here.\n\n"));
  EXPECT_THAT(prompt("longbook_choice_eng"), HasSubstr("\nC. write_rows\nD. close_rows\nLetter"));
  EXPECT_EQ(open("passkey", {}, true)->info().generation_tokens, 7);
  EXPECT_FALSE(open("passkey", {}, true)->info().unofficial_prompts);
  EXPECT_EQ(open("passkey", {.prompt_family = "gpt4"}, true)->sample(Split::test, 0, codec_).context,
            "The number of box 1003 is 1003.");
}

TEST_F(InfiniteBenchFiles, BrokenPromptFiles) {
  const json record = testing::infinitebench_record("passkey", 0);
  EXPECT_THAT(error_of("passkey", record, true), HasSubstr("prompt.py: not there"));
  write("prompt.py", std::string("gpt4_templates = {}\n"));
  EXPECT_THAT(error_of("passkey", record, true), HasSubstr("assigns nothing to yarn_mistral_templates"));
  write("prompt.py", std::string(prompt_file));
  EXPECT_THAT(error_of("passkey", record, true), HasSubstr("eval_utils.py: not there"));
  write("eval_utils.py", std::string("DATA_NAME_TO_MAX_NEW_TOKENS = {'passkey': 0}\n"));
  EXPECT_THAT(error_of("passkey", record, true), HasSubstr("number of tokens"));
  write("eval_utils.py", std::string(utils_file));
  EXPECT_THAT(error_of("number_string", testing::infinitebench_record("number_string", 0), true),
              HasSubstr("no template"));
  EXPECT_THAT(error_of("kv_retrieval", testing::infinitebench_record("kv_retrieval", 0), true),
              HasSubstr("document"));
  json unnamed = testing::infinitebench_record("math_find", 0);
  unnamed["input"] = "which one?";
  EXPECT_THAT(error_of("math_find", unnamed, true), HasSubstr("math_find.jsonl:1: `input` does not say"));
}

TEST_F(InfiniteBenchFiles, LabelsKeepTheirShape) {
  const auto label = [&](const std::string& task, const json& answer) {
    json record = testing::infinitebench_record(task, 1);
    record["answer"] = answer;
    return sample(task, record).questions[0];
  };
  EXPECT_EQ(label("math_find", 3).label, "3");
  EXPECT_EQ(label("math_find", 3.0).label, "3.0");
  EXPECT_EQ(label("math_find", 3).answers, std::vector<std::string>{"3"});
  EXPECT_EQ(label("math_calc", {1, -2}).answers, std::vector<std::string>{"[1, -2]"});
  EXPECT_EQ(label("longbook_qa_eng", {"a", "b"}).answers, (std::vector<std::string>{"a", "b"}));
  for (const json& answer : {json("parse_rows"), json({"parse_rows"}), json({"parse_rows", "B"})}) {
    const Question question = label("code_debug", answer);
    EXPECT_EQ(question.label, R"(["parse_rows","B"])");
    EXPECT_THAT(question.answers, ElementsAre("B", "parse_rows"));
    EXPECT_EQ(question.target, " B");
  }
}

TEST_F(InfiniteBenchFiles, BadRecordsAreNamed) {
  const auto with = [](const std::string& task, const std::string& field, const json& value) {
    json record = testing::infinitebench_record(task, 0);
    if (value.is_discarded()) {
      record.erase(field);
    } else {
      record[field] = value;
    }
    return record;
  };
  const json nothing(json::value_t::discarded);
  EXPECT_THAT(error_of("passkey", with("passkey", "context", nothing)),
              HasSubstr("passkey.jsonl:1: the record lacks `context`"));
  EXPECT_THAT(error_of("passkey", with("passkey", "input", 1)), HasSubstr("`input` must be a text"));
  EXPECT_THAT(error_of("passkey", with("passkey", "answer", nothing)), HasSubstr("lacks `answer`"));
  for (const json& answer : {json(), json::array(), json::object()}) {
    EXPECT_THAT(error_of("passkey", with("passkey", "answer", answer)), HasSubstr("`answer` must be"));
  }
  EXPECT_THAT(error_of("code_debug", with("code_debug", "answer", "other")), HasSubstr("none of `options`"));
  EXPECT_THAT(error_of("code_debug", with("code_debug", "options", {"a"})), HasSubstr("four texts"));
  for (const json& answer : {json({"load_rows", "Z"}), json({"load_rows", "B", "C"}), json({5, 7})}) {
    EXPECT_THAT(error_of("code_debug", with("code_debug", "answer", answer)), HasSubstr("letter A to D"));
  }
  EXPECT_THAT(error_of("code_run", with("code_run", "input", "call it")),
              HasSubstr("code_run.jsonl:1: `input` calls no"));
}

TEST_F(InfiniteBenchFiles, PromptsAreCutInTheMiddleAndDetokenizedOnce) {
  json record = testing::infinitebench_record("passkey", 0);
  std::string context;
  for (int i = 0; i < 300; ++i) context += "word" + std::to_string(i) + " ";
  record["context"] = context;
  write("passkey", record);
  for (const int64_t limit : {100, 101}) {
    const auto task = open("passkey", {.max_prompt_tokens = limit});
    const Sample cut = task->sample(Split::test, 0, codec_);
    EXPECT_TRUE(cut.truncated);
    EXPECT_GT(cut.original_tokens, limit);
    EXPECT_EQ(std::ssize(cut.context_ids), limit);
    EXPECT_THAT(cut.context, HasSubstr("Answer:"));
  }
}

TEST_F(InfiniteBenchFiles, LabelsThatNothingCanMatchAreCounted) {
  json record = testing::infinitebench_record("kv_retrieval", 1);
  write("kv_retrieval", record);
  EXPECT_EQ(open("kv_retrieval")->info().never_right, 0);
  record["answer"] = json::array({record["answer"]});
  write("kv_retrieval", record);
  EXPECT_EQ(open("kv_retrieval")->info().never_right, 1);
  EXPECT_EQ(open("kv_retrieval", {.scorer = "2024-08"})->info().never_right, 0);
  for (const auto& task : infinitebench_tasks()) {
    const std::string name(task.name);
    write(name, testing::infinitebench_record(name, 2));
    EXPECT_EQ(open(name)->info().never_right, 0) << name;
  }
}

TEST_F(InfiniteBenchFiles, ThePromptOfGpt4ForMathCalcIsNotMade) {
  write("math_calc", testing::infinitebench_record("math_calc", 1));
  write("prompt.py", std::string(prompt_file));
  write("eval_utils.py", std::string(utils_file));
  EXPECT_THROW(open("math_calc", {.prompt_family = "gpt4"}, true), ConfigError);
}

TEST_F(InfiniteBenchFiles, PredictionRecordHasTheOfficialFields) {
  const Sample asked = sample("math_find", testing::infinitebench_record("math_find", 4));
  const auto record = prediction_record(asked, 0, "it is 4", 1.0);
  EXPECT_EQ(record["id"], 4);
  EXPECT_EQ(record["prediction"], "it is 4");
  EXPECT_EQ(record["ground_truth"].dump(), "4");
  EXPECT_FALSE(record.contains("pred"));
  EXPECT_EQ(prediction_record(asked, 0, "4.5", std::nullopt)["score"], nullptr);
  EXPECT_EQ(open("math_find")->info().predictions, "preds_math_find");
}

TEST_F(InfiniteBenchFiles, NumbersThatTheOfficialScorerFailsOnHaveNoScore) {
  write("math_find", testing::infinitebench_record("math_find", 4));
  const auto task = open("math_find");
  const Question question = task->sample(Split::test, 0, codec_).questions[0];
  EXPECT_EQ(task->score("it is 4", question), 1);
  EXPECT_EQ(task->score("it is 4.0", question), std::nullopt);
  EXPECT_EQ(task->score("none", question), 0);
}

}  // namespace
}  // namespace namm::tasks
