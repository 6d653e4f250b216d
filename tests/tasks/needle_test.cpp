#include "tasks/needle.h"

#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/text.h"
#include "tests/tasks/codecs.h"

namespace namm::tasks {
namespace {

Sample make(const std::string& name, int64_t id, const TaskConfig& config = {}) {
  return make_task(name, config)->sample(Split::test, id, testing::WordCodec());
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words = split(std::string_view(text), ' ');
  std::erase(words, "");
  return words;
}

int64_t count_of(const Sample& sample, TokenClass token_class) {
  return std::ranges::count(sample.token_class, token_class);
}

TEST(Needle, OneTokenAWordWithTheSmallModelsVocabulary) {
  for (const char* name :
       {"needle/key_value", "needle/hop", "needle/passage", "needle/classify", "needle/stale"}) {
    for (int64_t tokens : {256, 1024, 2048}) {
      const Sample sample = make(name, 3, {.context_tokens = tokens});
      EXPECT_EQ(std::ssize(sample.context_ids), tokens) << name;
      EXPECT_EQ(std::ssize(words_of(sample.context)), tokens - 1) << name;
      const std::vector<int64_t> ids = testing::WordCodec().encode(sample.context);
      EXPECT_TRUE(std::equal(ids.begin(), ids.end(), sample.context_ids.begin() + 1)) << name;
      for (const Question& question : sample.questions) {
        EXPECT_EQ(question.ids.size(), words_of(question.text).size());
        EXPECT_EQ(question.target_ids.size(), words_of(question.target).size());
        EXPECT_EQ(question.generation_tokens, std::ssize(question.target_ids));
      }
    }
  }
}

TEST(Needle, UsualNumbersOfFacts) {
  const std::map<std::string, int64_t> values = {{"needle/key_value", 20},
                                                 {"needle/hop", 20},
                                                 {"needle/passage", 12},
                                                 {"needle/classify", 16},
                                                 {"needle/stale", 14}};
  for (const auto& [name, count] : values) {
    const Sample sample = make(name, 0);
    EXPECT_EQ(count_of(sample, TokenClass::value), count) << name;
    EXPECT_EQ(sample.questions.size(), 8u) << name;
    EXPECT_EQ(count_of(make(name, 0, {.context_tokens = 2048}), TokenClass::value), 2 * count) << name;
    EXPECT_EQ(count_of(make(name, 0, {.density = 0.5}), TokenClass::value), count / 2) << name;
  }
}

TEST(Needle, FormatsOfFactsAndQuestions) {
  EXPECT_EQ(make("needle/key_value", 0).questions[0].text.substr(0, 15), " question code ");
  EXPECT_EQ(make("needle/hop", 0).questions[0].text.substr(0, 16), " question alias ");
  EXPECT_EQ(words_of(make("needle/passage", 0).questions[0].text).size(), 7u);
  EXPECT_EQ(words_of(make("needle/classify", 0).questions[0].text).size(), 4u);

  const Sample hop = make("needle/hop", 0);
  for (const Question& question : hop.questions) {
    const std::string name = words_of(question.text).back();
    const std::vector<std::string> answer = words_of(question.answers[0]);
    ASSERT_EQ(answer.size(), 2u);
    EXPECT_NE(hop.context.find("code " + name + " " + answer[0] + " ."), std::string::npos);
    EXPECT_NE(hop.context.find("code " + answer[0] + " " + answer[1] + " ."), std::string::npos);
  }
  const Sample passage = make("needle/passage", 0);
  for (const Question& question : passage.questions) {
    const std::string fact =
        question.text.substr(std::string(" question").size()) + " " + question.answers[0] + " .";
    EXPECT_NE(passage.context.find(fact), std::string::npos) << fact;
  }
}

TEST(Needle, ClassifyAsksForTheLabelOfTheNounsCategory) {
  const Sample sample = make("needle/classify", 1);
  std::map<std::string, std::string> label_of;  // noun -> label, from the context
  const std::vector<std::string> words = words_of(sample.context);
  for (size_t i = 0; i + 4 < words.size(); ++i) {
    if (words[i] == "example") label_of[words[i + 2]] = words[i + 3];
  }
  int known = 0;
  for (const Question& question : sample.questions) {
    const auto label = label_of.find(words_of(question.text).back());
    if (label == label_of.end()) continue;
    EXPECT_EQ(label->second, question.answers[0]);
    ++known;
  }
  EXPECT_GT(known, 0);
}

TEST(Needle, StaleAsksForTheLatestOfSeveralWrites) {
  std::set<int64_t> write_counts;
  for (int64_t id = 0; id < 8; ++id) {
    const Sample sample = make("needle/stale", id);
    const std::vector<std::string> words = words_of(sample.context);
    std::map<std::string, std::vector<size_t>> writes;
    for (size_t i = 0; i + 2 < words.size(); ++i) {
      if (words[i] == "code") writes[words[i + 1]].push_back(i + 2);
    }
    EXPECT_EQ(writes.size(), 14u);
    for (const auto& [key, places] : writes) {
      write_counts.insert(std::ssize(places));
      EXPECT_EQ(std::ranges::count(words, key), std::ssize(places)) << key << " stands in noise";
      for (size_t i = 0; i < places.size(); ++i) {
        const bool is_latest = i + 1 == places.size();
        // Token i of the context is word i - 1: BOS stands before it.
        EXPECT_EQ(sample.token_class[places[i] + 1], is_latest ? TokenClass::value : TokenClass::old_value);
        EXPECT_EQ(sample.token_class[places[i]], is_latest ? TokenClass::fact : TokenClass::superseded_fact);
        if (i > 0) {
          EXPECT_NE(words[places[i]], words[places[i - 1]]) << "a rewrite changes the value";
        }
      }
      // The window of 20 % holds all writes; facts placed by share of the context shift it by little.
      EXPECT_LT(static_cast<double>(places.back() - places.front()),
                0.45 * static_cast<double>(words.size()));
    }
    for (const Question& question : sample.questions) {
      EXPECT_EQ(words[writes.at(words_of(question.text).back()).back()], question.answers[0]);
    }
  }
  EXPECT_EQ(write_counts, (std::set<int64_t>{1, 6, 7, 8}));
}

TEST(Needle, DecoysAreAShareOfTheNoise) {
  const auto numbers_in = [](double decoys) {
    const Sample sample = make("needle/key_value", 0, {.decoys = decoys});
    return std::ranges::count_if(words_of(sample.context),
                                 [](const std::string& w) { return std::isdigit(w[0]) != 0; });
  };
  EXPECT_EQ(numbers_in(0), 0);
  EXPECT_GT(numbers_in(0.35), 10);
  EXPECT_GT(numbers_in(1), numbers_in(0.35));
}

TEST(Needle, SaysWhatDoesNotFit) {
  const testing::WordCodec codec;
  const auto task = make_task("needle/stale", {.context_tokens = 64, .density = 20});
  EXPECT_THROW(task->sample(Split::test, 0, codec), ConfigError);
  EXPECT_THROW(make_task("needle/hop", {})->sample(Split::test, -1, codec), ConfigError);
}

TEST(Needle, ExactPrefix) {
  EXPECT_EQ(exact_prefix("paris", "paris"), 1);
  EXPECT_EQ(exact_prefix(" \n birch   paris . the", "birch paris"), 1);
  EXPECT_EQ(exact_prefix("paris.", "paris"), 1);
  EXPECT_EQ(exact_prefix("17", "1"), 0);
  EXPECT_EQ(exact_prefix("parisian", "paris"), 0);
  EXPECT_EQ(exact_prefix("birch", "birch paris"), 0);
  EXPECT_EQ(exact_prefix("", "paris"), 0);
  EXPECT_EQ(exact_prefix("paris", ""), 0);
  EXPECT_EQ(exact_prefix("Paris", "paris"), 0);
}

}  // namespace
}  // namespace namm::tasks
