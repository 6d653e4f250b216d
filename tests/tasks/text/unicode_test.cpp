#include "tasks/text/unicode.h"

#include <gtest/gtest.h>

#include "tasks/text/python_json.h"

namespace namm::tasks {
namespace {

TEST(Unicode, DecodesUtf8AndReplacesBrokenBytes) {
  EXPECT_EQ(decode_utf8("a\xC3\xA9\xE6\xAE\xB5\xF0\x9F\x98\x80"), U"aé段😀");
  EXPECT_EQ(decode_utf8("a\xFF\xC3"), U"a\uFFFD\uFFFD");
  EXPECT_EQ(decode_utf8("\xE4\xB8"), U"\uFFFD");  // the beginning of a character is one
  EXPECT_EQ(decode_utf8("\xF0\x9F\x98\xC3\xA9"), U"\uFFFDé");
  EXPECT_EQ(decode_utf8("\xED\xA0\x80").size(), 3u);  // a surrogate in UTF-8 is three broken bytes
  EXPECT_EQ(encode_utf8(U"aé段😀"), "aé段😀");
  EXPECT_EQ(encode_utf8(Text{0xD800}), "\uFFFD");
}

TEST(Unicode, KnowsPythonsWhiteSpace) {
  for (char32_t c : {0x1Cu, 0x1Fu, 0x20u, 0x85u, 0xA0u, 0x2003u, 0x3000u})
    EXPECT_TRUE(is_space(c)) << static_cast<uint32_t>(c);
  for (char32_t c : {0x1Bu, 0x200Bu, 0xFEFFu, 0x180Eu}) EXPECT_FALSE(is_space(c)) << static_cast<uint32_t>(c);
  EXPECT_EQ(split_on_space(U"\u3000 a\x1C\x85 b\u00A0"), (std::vector<Text>{U"a", U"b"}));
  EXPECT_TRUE(split_on_space(U" \n").empty());
}

TEST(Unicode, KnowsPythonsDigitsAndWordCharacters) {
  EXPECT_TRUE(is_decimal_digit(U'７'));
  EXPECT_TRUE(is_decimal_digit(0x0663));  // Arabic-Indic three
  EXPECT_FALSE(is_decimal_digit(U'²'));
  EXPECT_TRUE(is_word_character(U'²'));  // a numeric value
  EXPECT_TRUE(is_word_character(U'Ⅳ'));
  EXPECT_TRUE(is_word_character(U'段'));
  EXPECT_FALSE(is_word_character(0x0301));  // combining acute accent
  EXPECT_EQ(digit_runs(U"a12 ７7b"), (std::vector<Text>{U"12", U"７7"}));
}

TEST(Unicode, LowersAsPython) {
  EXPECT_EQ(lower(U"ABC xyz"), U"abc xyz");
  EXPECT_EQ(lower(U"ΣΑΣ"), U"σας");    // final sigma
  EXPECT_EQ(lower(U"İ"), U"i\u0307");  // one to two
  EXPECT_EQ(lower(U"É\U00010400"), U"é\U00010428");
}

TEST(Unicode, SplitsAtSeparators) {
  EXPECT_EQ(split(U"a..b", U'.'), (std::vector<Text>{U"a", U"", U"b"}));
  EXPECT_EQ(split(U"", U'.'), (std::vector<Text>{U""}));
  EXPECT_EQ(without_leading_newlines(U"\n\n\r\na"), U"\r\na");
  EXPECT_EQ(without_leading_newlines(U"\n"), U"");
}

TEST(PythonJson, ReplacesOnlyLoneHalvesOfSurrogatePairs) {
  EXPECT_EQ(without_lone_surrogates(R"("\ud83d\ude00")"), R"("\ud83d\ude00")");
  EXPECT_EQ(without_lone_surrogates(R"("\ud83d")"), "\"\U0010F83D\"");
  EXPECT_EQ(without_lone_surrogates(R"("\ude00\ud83d\ude00")"), "\"\U0010FE00\\ud83d\\ude00\"");
  EXPECT_EQ(without_lone_surrogates(R"("\\ud83d")"), R"("\\ud83d")");  // an escaped backslash, then letters
  EXPECT_EQ(without_lone_surrogates("\\ud8"), "\\ud8");
  EXPECT_EQ(without_lone_surrogates("\\"), "\\");
}

}  // namespace
}  // namespace namm::tasks
