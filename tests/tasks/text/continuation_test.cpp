#include "tasks/text/continuation.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tasks/task_list.h"
#include "tests/tasks/codecs.h"

namespace namm::tasks {
namespace {

using Ids = std::vector<int64_t>;

TEST(Continuation, BeginsNoText) {
  const testing::BlankCodec blanks;
  for (const std::string text : {" x", "x", "\n\nQuestion: x", ".", ""})
    EXPECT_EQ(blanks.decode(encode_continuation(blanks, text), true), text);
  const testing::WordCodec words;
  EXPECT_EQ(encode_continuation(words, " question code"), words.encode("question code"));
}

// What is read in two or three pieces is what a text in one piece gives, wherever no token lies across a cut.
TEST(Continuation, QuestionsAndTargetsGoOnWhereTheContextEnds) {
  const testing::BlankCodec codec;
  for (const std::string& name : task_names()) {
    if (!name.starts_with("needle/")) continue;
    const auto task = make_task(name, {.context_tokens = 600});
    for (int64_t id = 0; id < 3; ++id) {
      const Sample sample = task->sample(Split::test, id, codec);
      EXPECT_EQ(sample.context_ids, codec.encode(sample.context)) << name;
      for (const Question& question : sample.questions) {
        EXPECT_EQ(codec.decode(question.ids, true), question.text) << name;
        EXPECT_EQ(codec.decode(question.target_ids, true), question.target) << name;
      }
    }
  }
}

}  // namespace
}  // namespace namm::tasks
