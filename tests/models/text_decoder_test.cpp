#include "models/text_decoder.h"

#include <cstdint>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/files.h"
#include "core/text.h"
#include "models/token_texts.h"
#include "tests/models/small_tokenizers.h"

namespace namm::models {
namespace {

// What `transformers` writes in Python, step by step over the whole text.
std::string cleaned(std::string text) {
  const std::vector<std::pair<std::string, std::string>> steps = {
      {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
      {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : steps) {
    for (std::size_t place = text.find(from); place != std::string::npos;
         place = text.find(from, place + to.size()))
      text.replace(place, from.size(), to);
  }
  return text;
}

std::vector<int64_t> random_ids(const Tokenizer& tokenizer, std::size_t count, std::mt19937& random) {
  std::vector<int64_t> ids(count);
  for (int64_t& id : ids)
    id = static_cast<int64_t>(random() % static_cast<uint64_t>(tokenizer.vocabulary_size()));
  return ids;
}

double processor_seconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

class AnyTokenizer : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Tokenizer> tokenizer_ = small_tokenizer(GetParam());
};

TEST_P(AnyTokenizer, PiecesOfTextAreThatOfAllIds) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    tokenizer_->clean_up_spaces(round % 2 == 1);
    const bool skip_special = round % 3 != 0;
    const std::vector<int64_t> ids = random_ids(*tokenizer_, random() % 60, random);
    TextDecoder decoder(*tokenizer_, skip_special);
    std::string text, shown, raw;
    bool begun = false;
    for (const int64_t id : ids) {
      const std::string piece = decoder.add(id);
      text += piece;
      shown += replace_invalid_utf8(piece);
      tokenizer_->decode_next(id, skip_special, begun, raw);
    }
    const std::string rest = decoder.finish();
    text += rest;
    // No piece ends within a letter.
    ASSERT_EQ(shown + replace_invalid_utf8(rest), replace_invalid_utf8(text));
    ASSERT_EQ(text, tokenizer_->cleans_up_spaces() ? cleaned(raw) : raw);
    ASSERT_EQ(text, tokenizer_->decode(ids, skip_special));
  }
}

TEST_P(AnyTokenizer, TextsOfTokensAreTheWholeText) {
  std::mt19937 random(8);
  for (int round = 0; round < 100; ++round) {
    const std::vector<int64_t> ids = random_ids(*tokenizer_, random() % 60, random);
    EXPECT_EQ(join(token_texts(*tokenizer_, ids), ""), tokenizer_->decode(ids, /*skip_special=*/false));
  }
}

TEST_P(AnyTokenizer, AMillionIdsTakeLinearTime) {
  std::mt19937 random(9);
  tokenizer_->clean_up_spaces(true);
  const std::vector<int64_t> ids = random_ids(*tokenizer_, 1'000'000, random);
  const double start = processor_seconds();
  TextDecoder decoder(*tokenizer_);
  std::size_t bytes = 0;
  for (const int64_t id : ids) bytes += decoder.add(id).size();
  EXPECT_GT(bytes + decoder.finish().size(), ids.size() / 2);
  EXPECT_LT(processor_seconds() - start, 5);
}

// No text, however it is made, may take more than linear time; at the bound a quadratic step would be far
// off.
TEST_P(AnyTokenizer, AMebibyteOfAnyTextIsEncodedInSeconds) {
  for (const std::string unit : {"a", " ", "\n", "ab", "7", "!", " \n", "\xff", "a\xff", "<", "<s>", "\u3042",
                                 "\u0307\u0323", "the model keeps, "}) {
    std::string text;
    while (text.size() < (1u << 20)) text += unit;
    text += "x";
    const double start = processor_seconds();
    const std::vector<int64_t> ids = tokenizer_->encode(text);
    const double seconds = processor_seconds() - start;
    EXPECT_LT(seconds, 3) << "1 MiB of '" << replace_invalid_utf8(unit) << "'";
    std::printf("%s, %s: %.2f s\n", GetParam().c_str(),
                nlohmann::json(replace_invalid_utf8(unit)).dump().c_str(), seconds);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, AnyTokenizer,
                         ::testing::Values("words", "gpt2", "smollm", "llama3", "qwen2", "sentencepiece",
                                           "ranks"));

TEST(TextDecoder, SpacesAreCleanedUpWhereTheSwitchIsOn) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"k != 3 , why ?", "k!= 3, why?"},
      {"the 'scale' of 'may'", "the'scale' of'may'"},
      {"a . b", "a. b"},
      {"we 're do n't", "we're don't"},
      {"a ' b", "a'b"},
      {" ", " "},
  };
  const auto tokenizer = small_tokenizer("gpt2");
  for (const auto& [text, clean] : cases) {
    const std::vector<int64_t> ids = tokenizer->encode(text);
    tokenizer->clean_up_spaces(false);
    EXPECT_EQ(tokenizer->decode(ids), text);
    tokenizer->clean_up_spaces(true);
    EXPECT_EQ(tokenizer->decode(ids), clean);
  }
}

TEST(TextDecoder, ALetterOfSeveralTokensComesWhole) {
  const auto tokenizer = small_tokenizer("gpt2");
  TextDecoder decoder(*tokenizer);
  std::vector<std::string> pieces;
  for (const int64_t id : tokenizer->encode("\U00020000")) pieces.push_back(decoder.add(id));
  EXPECT_EQ(pieces, (std::vector<std::string>{"", "", "", "\U00020000"}));
  EXPECT_EQ(decoder.finish(), "");
}

TEST(TextDecoder, HalfALetterComesAtTheEnd) {
  const auto tokenizer = small_tokenizer("gpt2");
  TextDecoder decoder(*tokenizer);
  const std::vector<int64_t> ids = tokenizer->encode("\xe3\x81");
  for (const int64_t id : ids) EXPECT_EQ(decoder.add(id), "");
  EXPECT_EQ(decoder.finish(), "\xe3\x81");
  EXPECT_THROW(decoder.add(-1), DataError);
}

}  // namespace
}  // namespace namm::models
