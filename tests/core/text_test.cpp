#include "core/text.h"

#include <gtest/gtest.h>

namespace namm {
namespace {

TEST(Text, TrimsAndSplits) {
  EXPECT_EQ(trim("  a b\t\r\n"), "a b");
  EXPECT_EQ(trim(" \n"), "");
  EXPECT_EQ(split("a..b", '.'), (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(split("", '.'), std::vector<std::string>{""});
  EXPECT_EQ(join({"a", "b", "c"}, ", "), "a, b, c");
}

TEST(Text, EditDistanceCountsSwapsOnce) {
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("sgima", "sigma"), 1U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("abc", "abc"), 0U);
}

TEST(Text, NearestNamesOnlyWhatMayBeMeant) {
  const std::vector<std::string> keys = {"population", "sigma", "kind"};
  EXPECT_EQ(nearest("populaton", keys), "population");
  EXPECT_EQ(nearest("sgima", keys), "sigma");
  EXPECT_EQ(nearest("temperature", keys), std::nullopt);
  EXPECT_EQ(nearest(std::string(100'000, 'x'), keys), std::nullopt);
}

TEST(Text, FindsInvalidUtf8) {
  EXPECT_EQ(first_invalid_utf8("plain, \xC3\xA9, \xE2\x82\xAC, \xF0\x9F\x98\x80"), std::nullopt);
  EXPECT_EQ(first_invalid_utf8("ab\xFF"), 2U);
  EXPECT_EQ(first_invalid_utf8("\xC0\x80"), 0U);          // overlong NUL
  EXPECT_EQ(first_invalid_utf8("x\xED\xA0\x80"), 1U);     // surrogate
  EXPECT_EQ(first_invalid_utf8("\xF4\x90\x80\x80"), 0U);  // above U+10FFFF
  EXPECT_EQ(first_invalid_utf8("ok\xE2\x82"), 2U);        // cut off
  // One U+FFFD for the beginning of a sequence, one for each byte that begins none.
  EXPECT_EQ(replace_invalid_utf8("a\xFF\xE2\x82z"), "a\xEF\xBF\xBD\xEF\xBF\xBDz");
  EXPECT_EQ(replace_invalid_utf8("\xE4\xB8"), "\xEF\xBF\xBD");
  EXPECT_EQ(replace_invalid_utf8("\xF0\x9F\x98\xC3\xA9"), "\xEF\xBF\xBD\xC3\xA9");
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Text, TheOpenTailIsALetterThatMayGoOn) {
  EXPECT_EQ(open_utf8_tail(""), 0U);
  EXPECT_EQ(open_utf8_tail("ab\xC3\xA9"), 0U);
  EXPECT_EQ(open_utf8_tail("ab\xC3"), 1U);
  EXPECT_EQ(open_utf8_tail("\xE2\x82"), 2U);
  EXPECT_EQ(open_utf8_tail("a\xF0\x9F\x98"), 3U);
  EXPECT_EQ(open_utf8_tail("\xE2\xE2\x82"), 2U);
  EXPECT_EQ(open_utf8_tail("\xED\xA0"), 0U);  // a surrogate never becomes a letter
  EXPECT_EQ(open_utf8_tail("\xFF"), 0U);
  EXPECT_EQ(open_utf8_tail("\x82\x82"), 0U);
}

TEST(Text, FormatsNumbersForPeople) {
  EXPECT_EQ(format_bytes(512), "512 bytes");
  EXPECT_EQ(format_bytes(3 * 1024 * 1024 + 300 * 1024), "3.3 MiB");
  EXPECT_EQ(format_bytes(1024 * 1024 - 1), "1.0 MiB");
  EXPECT_EQ(format_seconds(1.44), "1.4 s");
  EXPECT_EQ(format_seconds(59.6), "1 min 00 s");
  EXPECT_EQ(format_seconds(185), "3 min 05 s");
  EXPECT_EQ(format_seconds(7800), "2 h 10 min");
  EXPECT_EQ(format_seconds(-1), "unknown");
}

TEST(Text, FormatsArguments) {
  EXPECT_EQ(format_text("{} of {}: {}", 3, "four", 0.5), "3 of four: 0.5");
  EXPECT_EQ(format_text("none"), "none");
  EXPECT_EQ(format_text("{}", 1, 2), "1");
}

}  // namespace
}  // namespace namm
