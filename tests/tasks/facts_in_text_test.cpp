#include <algorithm>
#include <regex>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "tasks/task_list.h"
#include "tests/tasks/codecs.h"

namespace namm::tasks {
namespace {

int64_t count_of(const Sample& sample, TokenClass token_class) {
  return std::ranges::count(sample.token_class, token_class);
}

TEST(FactsInText, ExactLengthWithEveryKindAndTokenizer) {
  testing::PieceCodec pieces;
  const testing::WordCodec words;
  for (const std::string kind : {"number", "word", "update", "mixed"}) {
    for (int64_t tokens : {512, 513, 1024}) {
      const auto task = make_task("needle/facts", {.context_tokens = tokens, .fact_kind = kind});
      for (int64_t id = 0; id < 4; ++id) {
        const Sample sample = task->sample(Split::test, id, pieces);
        EXPECT_EQ(std::ssize(sample.context_ids), tokens);
        EXPECT_EQ(pieces.encode(sample.context), sample.context_ids) << "the text gives the same tokens";
        EXPECT_EQ(sample.questions.size(), 8u);
      }
    }
  }
  const auto bytes = make_task("needle/facts", {.context_tokens = 3000});
  EXPECT_EQ(bytes->sample(Split::train, 0, words).context_ids.size(), 3000u);
}

TEST(FactsInText, QuestionsEndInsideTheAnsweringSentence) {
  testing::PieceCodec codec;
  const Sample sample = make_task("needle/facts", {.context_tokens = 600, .fact_kind = "number"})
                            ->sample(Split::test, 0, codec);
  const std::regex form("\n\nQuestion: What is the code for (\\w+)\\?\nAnswer: The code for (\\w+) is");
  for (const Question& question : sample.questions) {
    std::smatch match;
    ASSERT_TRUE(std::regex_match(question.text, match, form)) << question.text;
    EXPECT_EQ(match[1], match[2]);
    EXPECT_NE(sample.context.find("The code for " + match[1].str() + " is " + question.answers[0] + "."),
              std::string::npos);
    EXPECT_EQ(question.target, " " + question.answers[0]);
    EXPECT_EQ(question.answers[0].size(), 4u);
  }
  EXPECT_GE(count_of(sample, TokenClass::value), 8);
  EXPECT_EQ(count_of(sample, TokenClass::old_value), 0);
}

TEST(FactsInText, UpdatesAskForTheCurrentValue) {
  testing::PieceCodec codec;
  const auto task = make_task("needle/facts", {.context_tokens = 900, .fact_kind = "update"});
  for (int64_t id = 0; id < 10; ++id) {
    const Sample sample = task->sample(Split::validation, id, codec);
    for (const Question& question : sample.questions) {
      const size_t start = question.text.find("Answer: ") + 8;
      const std::string now = question.text.substr(start);
      const size_t latest = sample.context.find(now + " " + question.answers[0] + ".");
      ASSERT_NE(latest, std::string::npos) << now;
      EXPECT_LT(sample.context.find(now.substr(0, now.size() - 4) + " "), latest)
          << "the old value comes first";
    }
    EXPECT_GT(count_of(sample, TokenClass::old_value), 0);
  }
}

TEST(FactsInText, ScoresTheBeginningOfTheAnswer) {
  testing::PieceCodec codec;
  const auto task = make_task("needle/facts", {});
  Question question;
  question.answers = {"4821"};
  EXPECT_EQ(task->score(" 4821.", question), 1);
  EXPECT_EQ(task->score(" 48210", question), 0);
  EXPECT_EQ(task->score("The code is 4821", question), 0);
}

TEST(FactsInText, SaysWhatDoesNotFit) {
  testing::PieceCodec codec;
  EXPECT_THROW(make_task("needle/facts", {.context_tokens = 64})->sample(Split::test, 0, codec), ConfigError);
  TaskConfig config;
  config.haystack.value = "/nowhere/at/all.txt";
  EXPECT_THROW(make_task("needle/facts", config), DataError);
}

}  // namespace
}  // namespace namm::tasks
