#include <cstdio>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "tests/models/small_tokenizers.h"
#include "tests/support/long_run.h"

namespace namm::models {
namespace {

const std::string kText = "the model 's <s> e\u0301\xff\n\n 123 <|im_start|>";

// Makes a tokenizer of `data` and uses it; true where the data is refused with a DataError. Anything else but
// success fails the test.
bool refused(const SmallTokenizer& small, const std::string& data) {
  try {
    const auto tokenizer = make_tokenizer(small.settings, data, small.vocabulary, "fuzz");
    const auto ids = tokenizer->encode_wrapped(kText, kText, kText);
    tokenizer->decode(ids, false);
    return false;
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("fuzz: "), std::string::npos) << error.what();
    return true;
  }
}

int rounds() {
  return testing::is_long_run() ? 20000 : 300;
}

// A place inside `value`, chosen by chance.
nlohmann::json& somewhere(nlohmann::json& value, std::mt19937& random) {
  nlohmann::json* place = &value;
  while (place->is_structured() && !place->empty() && (place == &value || random() % 4 != 0))
    place = &*std::next(place->begin(), static_cast<std::ptrdiff_t>(random() % place->size()));
  return *place;
}

class TokenizerFuzz : public ::testing::TestWithParam<std::string> {
 protected:
  SmallTokenizer small_ = small_tokenizer_data(GetParam());
};

// Found by tests/models/fuzz: an id beyond 64 bits.
TEST_P(TokenizerFuzz, NumbersWithAFractionAreRefused) {
  const SmallTokenizer& small = small_;
  for (const double number : {3.3e102, 1.5, -1e19}) {
    nlohmann::json data = small.data;
    data["kept"] = {1, {{"id", number}}};
    EXPECT_TRUE(refused(small, data.dump())) << number;
    nlohmann::json settings = small.settings;
    settings["prefix_ids"] = {number};
    EXPECT_THROW(make_tokenizer(settings, small.data.dump(), small.vocabulary, "fuzz"), DataError) << number;
  }
}

TEST_P(TokenizerFuzz, ChangedBytesNeverCrash) {
  const std::string whole = small_.data.dump();
  std::mt19937 random(11);
  int found = 0;
  for (int round = 0; round < rounds(); ++round) {
    std::string damaged = whole;
    for (unsigned flips = 1 + random() % 3; flips > 0; --flips) {
      char& byte = damaged[random() % damaged.size()];
      byte = random() % 2 == 0 ? static_cast<char>(random()) : "0123456789,[]{}\"-e"[random() % 19];
    }
    if (random() % 8 == 0) damaged.resize(random() % damaged.size());
    SCOPED_TRACE("round " + std::to_string(round));
    found += refused(small_, damaged);
  }
  std::printf("%s: %d of %d refused\n", GetParam().c_str(), found, rounds());
  EXPECT_GT(found, rounds() / 8);
}

TEST_P(TokenizerFuzz, ChangedValuesNeverCrash) {
  const nlohmann::json others = {nullptr,
                                 true,
                                 -1,
                                 0,
                                 1,
                                 3,
                                 1e300,
                                 9223372036854775807,
                                 "",
                                 "x",
                                 "by_rank",
                                 "\u2581",
                                 nlohmann::json::array(),
                                 {1, 2, 3},
                                 nlohmann::json::object()};
  std::mt19937 random(12);
  int found = 0;
  for (int round = 0; round < rounds(); ++round) {
    nlohmann::json damaged = small_.data;
    for (unsigned changes = 1 + random() % 3; changes > 0; --changes)
      somewhere(damaged, random) = others[random() % others.size()];
    SCOPED_TRACE("round " + std::to_string(round));
    found += refused(small_, damaged.dump());
  }
  std::printf("%s: %d of %d refused\n", GetParam().c_str(), found, rounds());
  EXPECT_GT(found, rounds() / 8);
}

INSTANTIATE_TEST_SUITE_P(Kinds, TokenizerFuzz,
                         ::testing::Values("words", "gpt2", "llama3", "qwen2", "sentencepiece", "ranks"));

}  // namespace
}  // namespace namm::models
