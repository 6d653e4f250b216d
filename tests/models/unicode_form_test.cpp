#include "models/tokenizers/unicode_form.h"

#include <ctime>
#include <string>

#include <gtest/gtest.h>

namespace namm::models {
namespace {

TEST(UnicodeForm, LettersAreComposed) {
  EXPECT_EQ(normal_form_c(""), "");
  EXPECT_EQ(normal_form_c("plain"), "plain");
  EXPECT_EQ(normal_form_c("e\u0301"), "\u00e9");
  EXPECT_EQ(normal_form_c("\u1100\u1161\u11a8"), "\uac01");
  EXPECT_EQ(normal_form_c("\u212b"), "\u00c5");
  // Marks are put in order: below (220) before above (230).
  EXPECT_EQ(normal_form_c("q\u0307\u0323"), "q\u0323\u0307");
}

TEST(UnicodeForm, LettersThatCameAfterUnicode9StayWhereTheyAre) {
  EXPECT_EQ(normal_form_c("\U00011935\U00011930"), "\U00011935\U00011930");
  EXPECT_EQ(normal_form_c("q\u0307\u1ac0"), "q\u0307\u1ac0");
}

TEST(UnicodeForm, BytesThatAreNoUtf8AreKept) {
  EXPECT_EQ(normal_form_c("e\u0301\xff"
                          "e\u0301\xe3\x81"),
            "\u00e9\xff\u00e9\xe3\x81");
}

TEST(UnicodeForm, ALongRunOfMarksIsSortedAsAShortOne) {
  std::string mixed = "q", below = "q", above;
  for (int i = 0; i < 100; ++i) {
    mixed += "\u0307\u0323\u0344";
    below += "\u0323";
    above += "\u0307\u0308\u0301";
  }
  EXPECT_EQ(normal_form_c(mixed), below + above);
}

TEST(UnicodeForm, MarksOutOfOrderTakeNoQuadraticTime) {
  std::string text = "q";
  while (text.size() < (1u << 20)) text += "\u0307\u0323";
  const std::clock_t start = std::clock();
  EXPECT_EQ(normal_form_c(text).size(), text.size());
  EXPECT_LT(std::clock() - start, 3 * CLOCKS_PER_SEC) << "seconds of the processor";
}

}  // namespace
}  // namespace namm::models
