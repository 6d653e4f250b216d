#include "tasks/segmentation/mecab.h"

#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/files.h"
#include "tests/support/dictionaries.h"
#include "tests/support/temporary_directory.h"

namespace namm::tasks {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using Words = std::vector<std::string>;

Words cut(TextView text) {
  Words words;
  for (TextView word : testing::segmenters()->japanese().cut(text)) words.push_back(encode_utf8(word));
  return words;
}

TEST(Mecab, RecordedTokens) {
  std::ifstream file(NAMM_TEST_DATA "/segmentation/mecab.jsonl");
  size_t texts = 0;
  for (std::string line; std::getline(file, line); ++texts) {
    const json record = json::parse(line);
    EXPECT_EQ(cut(decode_utf8(record.at("text").get<std::string>())), record.at("unidic-lite").get<Words>())
        << record.at("text");
  }
  EXPECT_EQ(texts, 20u);
}

TEST(Mecab, RecordedTokensOfChouBun) {
  const json expected = json::parse(std::ifstream(NAMM_TEST_DATA "/choubun/expected.json")).at("cases");
  std::ifstream file(NAMM_TEST_DATA "/choubun/cases.jsonl");
  size_t texts = 0;
  for (std::string line; std::getline(file, line);) {
    const json record = json::parse(line);
    const json& wanted = expected.at(record.at("id").get<std::string>());
    EXPECT_EQ(cut(decode_utf8(record.at("pred").get<std::string>())), wanted.at("pred_tokens").get<Words>())
        << record.at("id");
    for (size_t i = 0; i < record.at("answers").size(); ++i, ++texts) {
      EXPECT_EQ(cut(decode_utf8(record.at("answers")[i].get<std::string>())),
                wanted.at("answers_tokens")[i].get<Words>())
          << record.at("id");
    }
  }
  EXPECT_GE(texts, 40u);
}

// benchmarks 4
TEST(Mecab, SpacesAndNul) {
  EXPECT_EQ(cut(U" 猫 \t\n\v犬 "), (Words{"猫", "犬"}));
  EXPECT_EQ(cut(U"猫\r犬\u3000鳥\u00A0"), (Words{"猫", "\r", "犬", "\u3000", "鳥", "\u00A0"}));
  EXPECT_EQ(cut({U"猫\0犬", 3}), (Words{"猫"}));
  EXPECT_TRUE(cut(U"").empty());
  EXPECT_TRUE(cut(U" \n").empty());
}

TEST(Mecab, LongTextsAreBounded) {
  const Mecab& mecab = testing::segmenters()->japanese();
  EXPECT_THROW(mecab.cut(Text(Mecab::longest_text_bytes + 1, U'a')), DataError);
  EXPECT_THROW(mecab.cut(Text(Mecab::longest_text_bytes / 3 + 1, U'猫')), DataError);
  EXPECT_TRUE(mecab.cut(Text(60'000, U' ')).empty());
  EXPECT_EQ(mecab.cut(Text(60'000, U' ') + U"猫").back(), U"猫");
  for (const char32_t c : {U'a', U'猫', U'ア', U'\u3000', U'\U0001F600', static_cast<char32_t>(0xD800)}) {
    Text joined;
    const Text text(8'000, c);
    for (TextView word : mecab.cut(text)) joined += word;
    EXPECT_EQ(joined, text) << static_cast<uint32_t>(c);
  }
}

TEST(Mecab, ThreadsShareOne) {
  const Mecab& mecab = testing::segmenters()->japanese();
  const Text text = U"国境の長いトンネルを抜けると雪国であった。";
  const auto words = mecab.cut(text);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) ASSERT_EQ(mecab.cut(text), words);
    });
  }
}

TEST(Mecab, NamesItsDictionary) {
  EXPECT_EQ(testing::segmenters()->japanese().version(), "2.1.2");
  EXPECT_GT(testing::segmenters()->japanese().words(), 500'000);
}

std::string error_of(const std::filesystem::path& folder) {
  try {
    Mecab::load(folder);
  } catch (const DataError& error) {
    return error.what();
  }
  return "no DataError";
}

TEST(Mecab, RefusesWhatIsNoDictionary) {
  const auto whole = testing::dictionaries() / "unidic_lite/dicdir";
  const testing::TemporaryDirectory folder;
  EXPECT_THAT(error_of(folder.path()), HasSubstr("setup.sh"));
  const auto copy_all_but = [&](const std::string& left_out) {
    for (const char* name : {"sys.dic", "unk.dic", "matrix.bin", "char.bin", "dicrc"}) {
      std::filesystem::remove(folder / name);
      if (name != left_out) std::filesystem::create_symlink(whole / name, folder / name);
    }
  };
  for (const std::string name : {"sys.dic", "unk.dic", "matrix.bin", "char.bin", "dicrc"}) {
    copy_all_but(name);
    EXPECT_THAT(error_of(folder.path()), HasSubstr(folder.path().string())) << name;
    if (name == "dicrc") continue;  // text, any is legal
    std::ofstream(folder / name) << "no dictionary";
    EXPECT_THAT(error_of(folder.path()), HasSubstr(folder.path().string())) << name;
    std::ofstream(folder / name, std::ios::trunc).flush();
    EXPECT_THAT(error_of(folder.path()), HasSubstr(folder.path().string())) << name;
    std::string half(1 << 16, '\0');
    std::ifstream(whole / name, std::ios::binary).read(half.data(), std::ssize(half));
    std::ofstream(folder / name, std::ios::binary | std::ios::trunc) << half.substr(0, half.size() / 2);
    EXPECT_THAT(error_of(folder.path()), HasSubstr(folder.path().string())) << name;
  }
  copy_all_but("");
  EXPECT_EQ(Mecab::load(folder.path())->version(), "unknown");
}

}  // namespace
}  // namespace namm::tasks
