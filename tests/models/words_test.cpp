#include "models/tokenizers/words.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/errors.h"

namespace namm::models {
namespace {

// Ids 0 to 5 are words, 6 is byte 0.
const nlohmann::json kData = {
    {"words", {"<pad>", "<bos>", "<eos>", ".", "code", "paris"}}, {"special", {0, 1, 2}}, {"byte_base", 6}};
constexpr int64_t kVocabulary = 262;

WordTokenizer tokenizer() {
  return {kData, {1}, kVocabulary};
}

int64_t byte(unsigned char value) {
  return 6 + value;
}

TEST(Words, RunsAfterOneSpaceAreWords) {
  EXPECT_EQ(tokenizer().encode("code paris ."), (std::vector<int64_t>{4, 5, 3}));
  EXPECT_EQ(tokenizer().encode(""), std::vector<int64_t>{});
  EXPECT_EQ(tokenizer().prefix(), std::vector<int64_t>{1});
  EXPECT_EQ(tokenizer().vocabulary_size(), kVocabulary);
}

TEST(Words, EverythingElseIsBytes) {
  EXPECT_EQ(tokenizer().encode("code rome"),
            (std::vector<int64_t>{4, byte(' '), byte('r'), byte('o'), byte('m'), byte('e')}));
  EXPECT_EQ(tokenizer().encode("code\n."), (std::vector<int64_t>{4, byte('\n'), byte('.')}));
  // The word takes one of two spaces; a space that opens the text is nobody's.
  EXPECT_EQ(tokenizer().encode("code  ."), (std::vector<int64_t>{4, byte(' '), 3}));
  EXPECT_EQ(tokenizer().encode(" ."), (std::vector<int64_t>{byte(' '), byte('.')}));
  EXPECT_EQ(tokenizer().encode("code "), (std::vector<int64_t>{4, byte(' ')}));
}

TEST(Words, SpecialWordsAreText) {
  const std::vector<int64_t> ids = tokenizer().encode("<bos> code");
  EXPECT_EQ(ids.size(), 6u);
  EXPECT_EQ(ids.front(), byte('<'));
  EXPECT_EQ(
      tokenizer().encode_wrapped("<bos> ", "code <eos>", " <eos>"),
      (std::vector<int64_t>{1, 4, byte(' '), byte('<'), byte('e'), byte('o'), byte('s'), byte('>'), 2}));
}

TEST(Words, DecodingSkipsSpecialsOnDemand) {
  EXPECT_EQ(tokenizer().decode({1, 4, 5, 2}, true), "code paris");
  EXPECT_EQ(tokenizer().decode({1, 4, 5, 2}, false), "<bos> code paris <eos>");
  EXPECT_THROW(tokenizer().decode({kVocabulary}, true), DataError);
  EXPECT_THROW(tokenizer().decode({-1}, true), DataError);
}

TEST(Words, AnyBytesComeBack) {
  const WordTokenizer tokens = tokenizer();
  std::mt19937 random(7);
  const std::vector<std::string> pieces = {" ", "  ",    "\n", "\t",     "code", "paris",
                                           ".", "<bos>", "x",  "paris.", "\xff", std::string(1, '\0')};
  for (int round = 0; round < 5000; ++round) {
    std::string text;
    const auto count = random() % 12;
    for (unsigned i = 0; i < count; ++i) {
      text +=
          random() % 4 == 0 ? std::string(1, static_cast<char>(random())) : pieces[random() % pieces.size()];
    }
    const std::vector<int64_t> ids = tokens.encode(text);
    ASSERT_EQ(tokens.decode(ids, true), text);
    ASSERT_LE(ids.size(), text.size());
  }
}

TEST(Words, LongTextsAreLinear) {
  for (const std::string& unit :
       {std::string("a"), std::string(" "), std::string("code "), std::string(" .")}) {
    std::string text;
    while (text.size() < (1u << 20)) text += unit;
    EXPECT_EQ(tokenizer().decode(tokenizer().encode(text), true), text);
  }
}

TEST(Words, DamagedDataIsRefused) {
  const auto with = [](const char* key, const nlohmann::json& value) {
    nlohmann::json data = kData;
    data[key] = value;
    return make_tokenizer({{"kind", "words"}}, data.dump(), kVocabulary, "model.pt");
  };
  EXPECT_THROW(with("words", {"a", "a"}), DataError);
  EXPECT_THROW(with("words", {"a b"}), DataError);
  EXPECT_THROW(with("words", 3), DataError);
  EXPECT_THROW(with("byte_base", 7), DataError);
  EXPECT_THROW(with("byte_base", 2), DataError);
  EXPECT_THROW(with("special", {17}), DataError);
  EXPECT_THROW(make_tokenizer({{"kind", "words"}}, "{", kVocabulary, "model.pt"), DataError);
}

TEST(Tokenizers, UnknownKindIsAnsweredWithTheKnownOnes) {
  try {
    make_tokenizer({{"kind", "unigram"}}, "{}", 10, "model.pt");
    FAIL();
  } catch (const DataError& error) {
    EXPECT_STREQ(error.what(),
                 "model.pt: the tokenizer kind 'unigram' is not known to this program (known: words, "
                 "byte-level-bpe, sentencepiece-bpe); "
                 "export the model again");
  }
  EXPECT_THROW(
      make_tokenizer({{"kind", "words"}, {"prefix_ids", {999}}}, kData.dump(), kVocabulary, "model.pt"),
      DataError);
}

}  // namespace
}  // namespace namm::models
