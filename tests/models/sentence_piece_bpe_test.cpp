#include "models/tokenizers/sentence_piece_bpe.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "tests/models/small_tokenizers.h"

namespace namm::models {
namespace {

SentencePieceBpe tokenizer(const nlohmann::json& data, bool chat_after_prefix = false) {
  return {data, {}, 0, chat_after_prefix};
}

std::vector<std::string> pieces(const SentencePieceBpe& tokenizer, const std::vector<int64_t>& ids) {
  const nlohmann::json data = sentence_piece_data();
  std::vector<std::string> result;
  for (const int64_t id : ids)
    result.push_back(data["pieces"][static_cast<std::size_t>(id)].get<std::string>());
  EXPECT_LE(ids.size(), 1000u + static_cast<std::size_t>(tokenizer.vocabulary_size()));
  return result;
}

using Pieces = std::vector<std::string>;

TEST(SentencePieceBpe, TheBestScoreMergesFirst) {
  const SentencePieceBpe ours = tokenizer(sentence_piece_data());
  EXPECT_EQ(pieces(ours, ours.encode("the the")), (Pieces{"\u2581the", "\u2581the"}));
  EXPECT_EQ(pieces(ours, ours.encode("aaa")), (Pieces{"\u2581", "aa", "a"}));
  EXPECT_EQ(ours.encode(""), std::vector<int64_t>{});
}

TEST(SentencePieceBpe, LettersThatAreNoPiecesFallBackToBytes) {
  const SentencePieceBpe ours = tokenizer(sentence_piece_data());
  EXPECT_EQ(pieces(ours, ours.encode("\u00f6")), (Pieces{"\u2581", "<0xC3>", "<0xB6>"}));
  // A letter that is no piece may be part of one.
  EXPECT_EQ(pieces(ours, ours.encode("x\u00e9\u00e9")), (Pieces{"\u2581", "x\u00e9", "<0xC3>", "<0xA9>"}));
  EXPECT_EQ(pieces(ours, ours.encode("<0x41>")).size(), 7u);
}

TEST(SentencePieceBpe, TheBlankBeforeATextIsThatOfTheData) {
  nlohmann::json data = sentence_piece_data();
  const auto wrapped = [&](const char* rule, const char* before) {
    data["blank"] = rule;
    const SentencePieceBpe ours = tokenizer(data);
    return pieces(ours, ours.encode_wrapped(before, "", ""));
  };
  EXPECT_EQ(wrapped("each", "a<s>a"), (Pieces{"\u2581", "a", "<s>", "\u2581", "a"}));
  EXPECT_EQ(wrapped("each", " a<s> a"), (Pieces{"\u2581\u2581", "a", "<s>", "\u2581\u2581", "a"}));
  EXPECT_EQ(wrapped("each_unless_there", "a<s> a"), (Pieces{"\u2581", "a", "<s>", "\u2581", "a"}));
  EXPECT_EQ(wrapped("first_unless_there", "a<s>a"), (Pieces{"\u2581", "a", "<s>", "a"}));
  EXPECT_EQ(wrapped("first_unless_there", "<s>a"), (Pieces{"<s>", "a"}));
  EXPECT_EQ(wrapped("none", "a<s>a"), (Pieces{"a", "<s>", "a"}));
}

// A question behind a context that was read before, the text of a prompt behind a saved cache.
TEST(SentencePieceBpe, ATextThatGoesOnGetsNoBlank) {
  for (const char* rule : {"each", "each_unless_there", "first_unless_there", "none"}) {
    nlohmann::json data = sentence_piece_data();
    data["blank"] = rule;
    const SentencePieceBpe ours = tokenizer(data);
    const TokenCodec& as_tasks_know_it = ours;
    EXPECT_EQ(pieces(ours, as_tasks_know_it.encode_continued("a")), (Pieces{"a"})) << rule;
    EXPECT_EQ(pieces(ours, ours.encode_continued("a", "")), (Pieces{"a"})) << rule;
    EXPECT_EQ(pieces(ours, ours.encode_continued(" a", "")), (Pieces{"\u2581", "a"})) << rule;
    EXPECT_EQ(ours.encode_continued("a", "<s>a").size(), rule[0] == 'e' ? 4u : 3u) << rule;
  }
}

TEST(SentencePieceBpe, AChatFormBehindThePrefixBeginsNoText) {
  nlohmann::json data = sentence_piece_data();
  data["blank"] = "first_unless_there";
  const SentencePieceBpe at_start = tokenizer(data), behind = tokenizer(data, true);
  EXPECT_EQ(pieces(at_start, at_start.encode_wrapped("a", "b", "")), (Pieces{"\u2581", "ab"}));
  EXPECT_EQ(pieces(behind, behind.encode_wrapped("a", "b", "")), Pieces{"ab"});
  EXPECT_EQ(pieces(behind, behind.encode("ab")), (Pieces{"\u2581", "ab"}));
}

TEST(SentencePieceBpe, AnyBytesComeBack) {
  const SentencePieceBpe ours = tokenizer(sentence_piece_data());
  std::mt19937 random(3);
  for (int round = 0; round < 500; ++round) {
    std::string text(random() % 60, '\0');
    for (char& letter : text) letter = static_cast<char>(random() % 3 == 0 ? random() : ' ' + random() % 90);
    ASSERT_EQ(ours.decode(ours.encode(text)), text);
  }
}

TEST(SentencePieceBpe, SpecialTokensThatAUserTypesStayText) {
  const SentencePieceBpe ours = tokenizer(sentence_piece_data());
  EXPECT_EQ(pieces(ours, ours.encode_wrapped("<s>", "<s>", "<s>")),
            (Pieces{"<s>", "\u2581", "<0x3C>", "s", "<0x3E>", "<s>"}));
}

TEST(SentencePieceBpe, DamagedDataIsRefused) {
  const auto with = [](const char* key, const nlohmann::json& value) {
    nlohmann::json data = sentence_piece_data();
    data[key] = value;
    return make_tokenizer({{"kind", "sentencepiece-bpe"}}, data.dump(), 0, "model.pt");
  };
  EXPECT_NO_THROW(with("blank", "none"));
  EXPECT_THROW(with("blank", "some"), DataError);
  EXPECT_THROW(with("pieces", nlohmann::json::array()), DataError);
  EXPECT_THROW(with("types", {1, 2}), DataError);
  EXPECT_THROW(with("scores", {1, 2}), DataError);
  EXPECT_THROW(with("merges", {0, 1, 100000}), DataError);
  EXPECT_THROW(with("merges", {0, 1}), DataError);
  EXPECT_THROW(with("added", {{{"id", 100000}, {"text", "x"}, {"special", true}}}), DataError);
}

}  // namespace
}  // namespace namm::models
