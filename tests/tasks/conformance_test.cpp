// What every task of the list must keep.
#include <algorithm>
#include <filesystem>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "tasks/task_list.h"
#include "tests/support/dictionaries.h"
#include "tests/support/temporary_directory.h"
#include "tests/tasks/benchmark_records.h"
#include "tests/tasks/codecs.h"

namespace namm::tasks {
namespace {

constexpr int64_t context_tokens = 700;

/// One folder with the shipped records under the names of both variants.
const DataConfig& data() {
  static const testing::TemporaryDirectory folder;
  static const DataConfig config = [] {
    for (const auto& file : std::filesystem::directory_iterator(NAMM_TEST_DATA "/longbench/data")) {
      std::filesystem::copy_file(file.path(), folder / file.path().filename().string());
      std::filesystem::copy_file(file.path(), folder / (file.path().stem().string() + "_e.jsonl"));
    }
    testing::write_benchmark_records(folder.path(), 4);
    return DataConfig{.longbench = {folder.path()},
                      .infinitebench = {folder.path()},
                      .choubun = {folder.path()},
                      .dictionaries = {testing::dictionaries()}};
  }();
  return config;
}

bool is_generated(const std::string& name) {
  return name.starts_with("needle/");
}

class TaskConformance : public ::testing::TestWithParam<std::string> {
 protected:
  TaskConformance() : task_(open()) { codec_.has_prefix = true; }

  std::unique_ptr<Task> open() const {
    return make_task(GetParam(), {.context_tokens = context_tokens, .record_splits = "test"}, data());
  }

  /// The first samples of a split.
  std::vector<Sample> samples(const Task& task, Split split) const {
    const int64_t count = std::min<int64_t>(task.count(split).value_or(6), 6);
    std::vector<Sample> result;
    for (int64_t id = 0; id < count; ++id) result.push_back(task.sample(split, id, codec_));
    return result;
  }

  testing::PieceCodec codec_;
  std::unique_ptr<Task> task_;
};

/// Tasks that make their contexts.
class GeneratedTask : public TaskConformance {};

bool same(const Sample& a, const Sample& b) {
  return a.context == b.context && a.context_ids == b.context_ids && a.token_class == b.token_class &&
         std::ranges::equal(a.questions, b.questions, [](const Question& x, const Question& y) {
           return x.text == y.text && x.ids == y.ids && x.answers == y.answers &&
                  x.target_ids == y.target_ids;
         });
}

TEST_P(TaskConformance, SamplesAreComplete) {
  EXPECT_EQ(task_->info().name, GetParam());
  EXPECT_FALSE(task_->info().metric.empty());
  const std::vector<Sample> all = samples(*task_, Split::test);
  ASSERT_FALSE(all.empty());
  for (const Sample& sample : all) {
    EXPECT_FALSE(sample.context.empty());
    EXPECT_EQ(sample.prefix_tokens, 1);
    EXPECT_EQ(sample.context_ids.at(0), 0);
    EXPECT_FALSE(sample.truncated);
    EXPECT_EQ(sample.original_tokens, std::ssize(sample.context_ids));
    if (!sample.token_class.empty()) {
      EXPECT_EQ(sample.token_class.size(), sample.context_ids.size());
    }
    std::vector<int64_t> ids = codec_.prefix();
    const std::vector<int64_t> text_ids = codec_.encode(sample.context);
    ids.insert(ids.end(), text_ids.begin(), text_ids.end());
    EXPECT_EQ(ids, sample.context_ids) << "the text gives the same tokens";
    ASSERT_FALSE(sample.questions.empty());
    for (const Question& question : sample.questions) {
      EXPECT_EQ(question.text.empty(), question.ids.empty());
      EXPECT_FALSE(question.answers.empty());
      EXPECT_FALSE(question.target.empty());
      EXPECT_EQ(codec_.decode(question.target_ids, true), question.target);
      EXPECT_GT(question.generation_tokens, 0);
      EXPECT_EQ(prompt_sha256(sample, question).size(), 64u);
    }
  }
}

TEST_P(GeneratedTask, HaveExactlyTheTokensAskedFor) {
  for (Split split : {Split::train, Split::validation, Split::test}) {
    for (const Sample& sample : samples(*task_, split))
      EXPECT_EQ(std::ssize(sample.context_ids), context_tokens);
  }
}

TEST_P(TaskConformance, SameSampleInAnyOrderAndThread) {
  const auto other = open();
  std::vector<Sample> forwards, backwards;
  const int64_t count = std::min<int64_t>(task_->count(Split::test).value_or(4), 4);
  std::thread thread([&] {
    for (int64_t id = count - 1; id >= 0; --id) backwards.push_back(other->sample(Split::test, id, codec_));
  });
  for (int64_t id = 0; id < count; ++id) forwards.push_back(task_->sample(Split::test, id, codec_));
  thread.join();
  for (size_t i = 0; i < forwards.size(); ++i)
    EXPECT_TRUE(same(forwards[i], backwards[forwards.size() - 1 - i]));
}

TEST_P(TaskConformance, SplitsAreDisjoint) {
  std::set<std::string> seen;
  for (Split split : {Split::train, Split::validation, Split::test}) {
    for (const Sample& sample : samples(*task_, split)) EXPECT_TRUE(seen.insert(sample.context).second);
  }
}

TEST_P(GeneratedTask, AnotherSeedGivesOtherContexts) {
  const auto other = make_task(GetParam(), {.seed = 2, .context_tokens = context_tokens}, data());
  EXPECT_NE(other->sample(Split::test, 0, codec_).context, task_->sample(Split::test, 0, codec_).context);
}

TEST_P(TaskConformance, QuestionsOfAContextAreDifferent) {
  for (const Sample& sample : samples(*task_, Split::test)) {
    std::set<std::string> texts;
    for (const Question& question : sample.questions)
      EXPECT_TRUE(texts.insert(question.text).second) << question.text;
  }
}

TEST_P(GeneratedTask, AnswersStandInTheContext) {
  for (const Sample& sample : samples(*task_, Split::validation)) {
    for (const Question& question : sample.questions) {
      const std::string& answer = question.answers.front();
      for (size_t start = 0; start < answer.size();) {
        const size_t end = std::min(answer.find(' ', start), answer.size());
        EXPECT_NE(sample.context.find(answer.substr(start, end - start)), std::string::npos) << answer;
        start = end + 1;
      }
    }
  }
}

TEST_P(TaskConformance, PerfectAnswerScoresOne) {
  for (const Sample& sample : samples(*task_, Split::test)) {
    for (const Question& question : sample.questions) {
      if (GetParam() ==
          "infinitebench/code_debug") {  // neither letter nor name alone is an answer to its scorer
        EXPECT_EQ(task_->score(question.answers[0] + ". " + question.answers[1], question), 1.0);
        continue;
      }
      for (const std::string& answer : question.answers) {
        EXPECT_NEAR(task_->score(answer, question).value(), 1.0, 1e-8)
            << answer;  // ROUGE's perfect match is 0.999999995
      }
      EXPECT_NEAR(task_->score(question.target, question).value(), 1.0, 0.2)
          << question.target;  // code scores count the blank
    }
  }
}

TEST_P(TaskConformance, JunkScoresBetweenZeroAndOne) {
  std::string every_byte, numbers;
  for (int c = 0; c < 256; ++c) every_byte += static_cast<char>(c);
  for (int i = 0; i < 3000; ++i) numbers += std::to_string(i) + " ";
  const std::vector<std::string> junk = {"",
                                         " ",
                                         "\n\n",
                                         std::string(1, '\0'),
                                         every_byte,
                                         numbers,
                                         "\xF0\x9F\x98",
                                         std::string(20000, '.'),
                                         std::string(20000, 'a'),
                                         "`#//",
                                         "段落 Paragraph \xE2\x80\xAE ７"};
  const Sample sample = task_->sample(Split::test, 0, codec_);
  for (const std::string& text : junk) {
    const double score = task_->score(text, sample.questions.front()).value_or(0);
    EXPECT_GE(score, 0);
    EXPECT_LE(score, 1);
  }
  EXPECT_LT(task_->score("", sample.questions.front()).value_or(0), 0.5);
}

std::string test_name(const ::testing::TestParamInfo<std::string>& instance) {
  std::string name = instance.param;
  std::ranges::replace_if(
      name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

std::vector<std::string> generated_tasks() {
  std::vector<std::string> names = task_names();
  std::erase_if(names, [](const std::string& name) { return !is_generated(name); });
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, TaskConformance, ::testing::ValuesIn(task_names()), test_name);
INSTANTIATE_TEST_SUITE_P(All, GeneratedTask, ::testing::ValuesIn(generated_tasks()), test_name);

TEST(TasksInChineseAndJapanese, SayWhichDictionaryTheyLack) {
  for (const char* name :
       {"longbench/multifieldqa_zh", "longbench/dureader", "longbench/vcsum", "choubun/wiki_qa"}) {
    try {
      make_task(name, {}, {.longbench = data().longbench, .choubun = data().choubun});
      ADD_FAILURE() << name;
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()).find("data.dictionaries"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace namm::tasks
