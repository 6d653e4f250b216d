#include "tasks/text/truncation.h"

#include <numeric>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "tests/tasks/codecs.h"

namespace namm::tasks {
namespace {

using Ids = std::vector<int64_t>;

Ids first(int64_t n) {
  Ids ids(static_cast<size_t>(n));
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

// benchmarks-09
TEST(Truncation, CutsTheMiddle) {
  EXPECT_EQ(cut_middle(first(10), 6), (Ids{0, 1, 2, 7, 8, 9}));
  EXPECT_EQ(cut_middle(first(10), 7), (Ids{0, 1, 2, 7, 8, 9}));
  EXPECT_EQ(cut_middle(first(6), 6), first(6));
}

TEST(Truncation, OfficialRuleCountsBos) {
  testing::PieceCodec codec;
  codec.has_prefix = true;
  const std::string text = "a b c d e f g h";  // 8 tokens, 9 with BOS
  const TruncatedPrompt whole = truncate_prompt(codec, text, 9, Truncation::official, 4);
  EXPECT_FALSE(whole.truncated);
  EXPECT_EQ(whole.text, text);
  EXPECT_EQ(whole.original_tokens, 9);
  const TruncatedPrompt cut = truncate_prompt(codec, text, 8, Truncation::official, 4);
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(cut.text, "a b c e f g h");  // BOS is one of the first four and gives no text
  EXPECT_EQ(truncate_prompt(codec, text, 0, Truncation::official, 4).text, text);
}

TEST(Truncation, ReleasedRuleLeavesRoomForTheAnswer) {
  testing::PieceCodec codec;
  codec.has_prefix = true;
  const std::string text = "a b c d e f g h";
  EXPECT_EQ(truncate_prompt(codec, text, 12, Truncation::released, 4).text, text);
  EXPECT_EQ(truncate_prompt(codec, text, 11, Truncation::released, 4).text, "a b c f g h");
}

// Hugging Face decodes the halves one by one: E4 B8 | AD gives two U+FFFD, not the character.
TEST(Truncation, ACharacterThatIsCutIsReplacedInBothHalves) {
  testing::PieceCodec codec;  // five bytes a token
  const TruncatedPrompt cut = truncate_prompt(codec, "中中中中中中中", 2, Truncation::official, 4);
  EXPECT_EQ(cut.text, "中\uFFFD\uFFFD");
}

TEST(Truncation, InfiniteBenchDetokenizesWhatIsLeftAtOnceAndUsesAnOddLimit) {
  testing::PieceCodec codec;
  EXPECT_EQ(truncate_prompt(codec, "中中中中中中中", 2, Truncation::infinitebench, 4).text, "中中");
  const std::string text = "a b c d e f g h";
  EXPECT_EQ(truncate_prompt(codec, text, 8, Truncation::infinitebench, 4).text, text);
  EXPECT_EQ(truncate_prompt(codec, text, 7, Truncation::infinitebench, 4).text, "a b c e f g h");
  EXPECT_EQ(truncate_prompt(codec, text, 6, Truncation::infinitebench, 4).text, "a b c f g h");
}

TEST(Truncation, RefusesLimitsWithoutRoom) {
  testing::PieceCodec codec;
  EXPECT_THROW(truncate_prompt(codec, "a b", 1, Truncation::official, 4), ConfigError);
  EXPECT_THROW(truncate_prompt(codec, "a b", 5, Truncation::released, 4), ConfigError);
}

}  // namespace
}  // namespace namm::tasks
