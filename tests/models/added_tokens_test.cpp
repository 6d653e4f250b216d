#include "models/tokenizers/added_tokens.h"

#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace namm::models {
namespace {

nlohmann::json token(const std::string& text, const std::vector<std::string>& flags = {},
                     bool special = true) {
  nlohmann::json one = {{"id", 1}, {"text", text}, {"special", special}};
  for (const std::string& flag : flags) one[flag] = true;
  return one;
}

// Braces around one object would copy it.
nlohmann::json list_of(nlohmann::json one) {
  return nlohmann::json::array({std::move(one)});
}

// The text with every token as "*", its plain parts in brackets.
std::string parts(const nlohmann::json& list, const std::string& text, AddedTokens::UserText user = {}) {
  std::string result;
  AddedTokens(list, 2, {})
      .split(
          text, user, [&](int64_t) { result += "*"; },
          [&](std::string_view plain, bool) { result.append("[").append(plain).append("]"); });
  return result;
}

TEST(AddedTokens, TheLongestFromTheLeft) {
  const nlohmann::json list = {token("<a>"), token("<a>b"), token("b<")};
  EXPECT_EQ(parts(list, "x<a>y"), "[x]*[y]");
  EXPECT_EQ(parts(list, "<a>b<a>"), "**");
  EXPECT_EQ(parts(list, "xb<a>"), "[x]*[a>]");
  EXPECT_EQ(parts(list, ""), "");
}

TEST(AddedTokens, WhiteSpaceIsTakenWhereTheFlagsSaySo) {
  EXPECT_EQ(parts(list_of(token("<a>")), "x <a> y"), "[x ]*[ y]");
  EXPECT_EQ(parts(list_of(token("<a>", {"lstrip"})), "x \t\u3000<a> y"), "[x]*[ y]");
  EXPECT_EQ(parts(list_of(token("<a>", {"rstrip"})), "x <a> \n<a>y"), "[x ]**[y]");
  EXPECT_EQ(parts(list_of(token("<a>", {"lstrip", "rstrip"})), " <a>  <a> "), "**");
}

TEST(AddedTokens, ASingleWordHasNoLetterBesideIt) {
  const nlohmann::json list = {token("ing", {"single_word"})};
  EXPECT_EQ(parts(list, "ing, (ing) ing"), "*[, (]*[) ]*");
  EXPECT_EQ(parts(list, "going ing_ \u00e9ing"), "[going ing_ \u00e9ing]");
}

TEST(AddedTokens, SpecialOnesAreNotFoundInWhatAUserTyped) {
  const nlohmann::json special = list_of(token("<a>")), plain = list_of(token("<a>", {}, false));
  EXPECT_EQ(parts(special, "<a><a><a>", {3, 6}), "*[<a>]*");
  EXPECT_EQ(parts(special, "<a><a><a>", {2, 7}), "[<a><a><a>]");
  EXPECT_EQ(parts(plain, "<a><a><a>", {3, 6}), "***");
}

TEST(AddedTokens, NormalizedOnesAreFoundBehindTheNormalizer) {
  const auto lower = [](std::string_view text) {
    std::string result(text);
    for (char& letter : result)
      letter = letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter;
    return result;
  };
  const AddedTokens tokens({token("Day", {"normalized"}), token("[DAY]")}, 2, lower);
  std::string result;
  tokens.split(
      "A DAY [DAY] [day]", {}, [&](int64_t) { result += "*"; },
      [&](std::string_view plain, bool at_start) {
        result.append(at_start ? "^[" : "[").append(plain).append("]");
      });
  EXPECT_EQ(result, "^[a ]*[ ]*[ []*[]]");
}

TEST(AddedTokens, DamagedListsAreRefused) {
  EXPECT_THROW(AddedTokens(nlohmann::json::object(), 2, {}), std::invalid_argument);
  EXPECT_THROW(AddedTokens(list_of(token("")), 2, {}), std::invalid_argument);
  EXPECT_THROW(AddedTokens(list_of(token("a")), 1, {}), std::invalid_argument);
  EXPECT_THROW(AddedTokens(list_of({{"id", 0}}), 1, {}), nlohmann::json::exception);
}

}  // namespace
}  // namespace namm::models
