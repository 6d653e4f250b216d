#include "models/token_spans.h"

#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/files.h"
#include "models/tokenizers/byte_level_bpe.h"
#include "models/tokenizers/words.h"

namespace namm::models {
namespace {

using memory::MarkedText;
using memory::TokenSpan;

WordTokenizer words() {
  const nlohmann::json data = {
      {"words", {"<pad>", "<bos>", "<eos>", ".", "code", "paris"}}, {"special", {0, 1, 2}}, {"byte_base", 6}};
  return {data, {1}, 262};
}

std::vector<TokenSpan> spans(const Tokenizer& codec, const std::string& text, const MarkedText& mark) {
  return find_spans(codec, codec.encode(text), {mark});
}

TEST(TokenSpans, WordsCountWithTheSpaceBeforeThem) {
  const WordTokenizer codec = words();
  // code paris . code paris .
  const std::string text = "code paris . code paris .";
  EXPECT_EQ(spans(codec, text, {"paris", ""}), (std::vector<TokenSpan>{{1, 2}, {4, 5}}));
  EXPECT_EQ(spans(codec, text, {"code", "."}), (std::vector<TokenSpan>{{0, 3}, {3, 6}}));
  EXPECT_EQ(spans(codec, text, {" paris", "paris"}), (std::vector<TokenSpan>{{1, 5}}));
  EXPECT_EQ(spans(codec, text, {"rome", ""}), std::vector<TokenSpan>{});
  EXPECT_EQ(spans(codec, text, {"code", "rome"}), std::vector<TokenSpan>{});
  EXPECT_EQ(spans(codec, "", {"code", ""}), std::vector<TokenSpan>{});
}

TEST(TokenSpans, ATokenThatHoldsOneByteOfTheMarkIsInIt) {
  const WordTokenizer codec = words();
  EXPECT_EQ(spans(codec, "code paris .", {"e p", ""}), (std::vector<TokenSpan>{{0, 2}}));
  EXPECT_EQ(spans(codec, "code paris .", {"e", "s"}), (std::vector<TokenSpan>{{0, 2}}));
}

TEST(TokenSpans, SpecialTokensHaveTheirText) {
  const WordTokenizer codec = words();
  const std::vector<int64_t> ids = codec.encode_wrapped("<bos> ", "code paris", " <eos>");
  EXPECT_EQ(find_spans(codec, ids, {{"<bos>", "code"}}), (std::vector<TokenSpan>{{0, 2}}));
  EXPECT_EQ(find_spans(codec, ids, {{"<eos>", ""}}, 100), (std::vector<TokenSpan>{{103, 104}}));
}

TEST(TokenSpans, BytePairsOfAnyText) {
  const auto data =
      nlohmann::json::parse(read_file(std::filesystem::path(NAMM_TEST_DATA) / "tokenizers" / "gpt2.json"));
  const ByteLevelBpe bpe(data.at("data"), {}, 0);
  const Tokenizer& codec = bpe;
  const std::string text = "Remember: the key is 4271. 雪が降る🙂 Then forget the rest, 4271 or not.";
  const std::vector<int64_t> ids = codec.encode(text);
  for (const MarkedText& mark : {MarkedText{"Remember", "4271"}, MarkedText{"雪", "る"},
                                 MarkedText{"🙂", ""}, MarkedText{"4271", ""}}) {
    const auto found = find_spans(codec, ids, {mark});
    ASSERT_FALSE(found.empty()) << mark.from;
    for (const TokenSpan& span : found) {
      const auto text_of = [&](int64_t begin, int64_t end) {
        return codec.decode(std::vector<int64_t>(ids.begin() + begin, ids.begin() + end));
      };
      const std::string held = text_of(span.begin, span.end);
      EXPECT_NE(held.find(mark.from), std::string::npos) << held;
      EXPECT_NE(held.find(mark.to), std::string::npos) << held;
      // Neither end is more than a token too wide.
      const std::string inner = text_of(span.begin + 1, span.end);
      EXPECT_EQ(inner.find(mark.from), std::string::npos) << inner;
    }
  }
}

TEST(TokenSpans, AMarkThatIsMissingIsAnError) {
  const WordTokenizer codec = words();
  const auto ids = codec.encode("code paris .");
  EXPECT_EQ(require_spans(codec, ids, {{"code", ""}, {".", ""}}, "p.txt"),
            (std::vector<TokenSpan>{{0, 1}, {2, 3}}));
  try {
    require_spans(codec, ids, {{"code", ""}, {"paris", "rome"}}, "p.txt");
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("p.txt: protect.text: \"paris\" to \"rome\" is not in"));
  }
}

}  // namespace
}  // namespace namm::models
