#include "tasks/segmentation/jieba.h"

#include <cmath>
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

using ::testing::HasSubstr;

std::vector<std::string> cut(TextView text) {
  std::vector<std::string> words;
  for (TextView word : testing::segmenters()->chinese().cut(text)) words.push_back(encode_utf8(word));
  return words;
}

template <class Function>
std::string error_of(const Function& function) {
  try {
    function();
  } catch (const DataError& error) {
    return error.what();
  }
  return "no DataError";
}

TEST(Jieba, RecordedTokens) {
  std::ifstream file(NAMM_TEST_DATA "/segmentation/jieba.jsonl");
  size_t texts = 0;
  for (std::string line; std::getline(file, line); ++texts) {
    const auto record = nlohmann::json::parse(line);
    EXPECT_EQ(cut(decode_utf8(record.at("text").get<std::string>())),
              record.at("tokens").get<std::vector<std::string>>())
        << record.at("text");
  }
  EXPECT_EQ(texts, 30u);
}

// benchmarks 2.8
TEST(Jieba, CheckVectors) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(cut(U"他来到了网易杭研大厦"), (Words{"他", "来到", "了", "网易", "杭研", "大厦"}));
  EXPECT_EQ(cut(U"2023年10月，C++性能提升了3.5%！"),
            (Words{"2023", "年", "10", "月", "，", "C++", "性能", "提升", "了", "3.5%", "！"}));
  EXPECT_EQ(cut(U"回答：A-1股 abc def"), (Words{"回答", "：", "A", "-", "1", "股", " ", "abc", " ", "def"}));
  EXPECT_EQ(cut(U"甲\r\n\n乙"), (Words{"甲", "\r\n", "\n", "乙"}));
  EXPECT_TRUE(cut(U"").empty());
}

// benchmarks 2.8: a check that the files were read as the package reads them.
TEST(Jieba, SizesOfTheTables) {
  const PrefixDictionary& dictionary = testing::segmenters()->chinese().dictionary();
  EXPECT_EQ(dictionary.words(), 349'045);
  EXPECT_EQ(dictionary.beginnings(), 149'068);
  EXPECT_EQ(dictionary.total_frequency(), 60'101'967u);

  EXPECT_THAT(testing::segmenters()->chinese().hmm().emissions(),
              ::testing::ElementsAre(6857, 7439, 6409, 14519));
}

TEST(Jieba, WordsJoinToTheText) {
  Text text;
  for (char32_t c = 1; c < 0x3000; c += 7) text += {c, U'中', c, U'A', U'国', U'龘', U'丂'};
  text += {0xD800, 0x110000, 0xFFFFFFFF, 0};
  Text joined;
  for (TextView word : testing::segmenters()->chinese().cut(text)) {
    EXPECT_FALSE(word.empty());
    joined += word;
  }
  EXPECT_EQ(joined, text);
}

TEST(Jieba, LongRunsAndThreads) {
  Text text;
  while (text.size() < 300'000) text += U"龘丂他来到了网易杭研大厦ABC";
  const Jieba& jieba = testing::segmenters()->chinese();
  const size_t words = jieba.cut(text).size();
  EXPECT_GT(words, text.size() / 4);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back([&] { EXPECT_EQ(jieba.cut(text).size(), words); });
}

class DamagedJieba : public ::testing::Test {
 protected:
  DamagedJieba() {
    make_directories(folder_ / "finalseg");
    write("dict.txt", "中国 10 ns\n中 3 n\r\n国家 5\n中国 7 ns\n");
    write("finalseg/prob_start.py", "P={'B': -0.5, 'E': -3.14e+100, 'M': -3.14e+100, 'S': -1}\n");
    write("finalseg/prob_trans.py",
          "P={'B': {'E': -0.5}, 'E': {'B': -0.5}, 'M': {'E': -1}, 'S': {'S': -0.5, 'B': -1,},\n}");
    write("finalseg/prob_emit.py",
          "from __future__ import unicode_literals\n\nP={'B': {'\\u4e2d': -1}, 'E': {'国': -1}, 'M': {}, "
          "'S': {}}");
  }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  std::string error() const {
    return error_of([&] { Jieba::load(folder_.path()); });
  }

  testing::TemporaryDirectory folder_;
};

TEST_F(DamagedJieba, LaterLinesCountAndTotalsAddUp) {
  const auto jieba = Jieba::load(folder_.path());
  const PrefixDictionary& dictionary = jieba->dictionary();
  EXPECT_EQ(dictionary.words(), 3);
  EXPECT_EQ(dictionary.beginnings(), 1);
  EXPECT_EQ(dictionary.total_frequency(), 25u);
  EXPECT_DOUBLE_EQ(dictionary.log_probability(dictionary.find(U"中国")), std::log(7.0) - std::log(25.0));
  EXPECT_FALSE(dictionary.is_word(dictionary.find(U"国")));
  EXPECT_EQ(dictionary.find(U"国中"), PrefixDictionary::none);
  EXPECT_EQ(jieba->cut(U"中国家"), (std::vector<TextView>{U"中", U"国家"}));
}

TEST_F(DamagedJieba, NamesFileAndLine) {
  for (const std::string bad :
       {"国", "国 x n", "国 -3 n", "国  3 n", "国 3 n n", "", "国 99999999999 n", "\xFF 3 n"}) {
    write("dict.txt", "中 3 n\n" + bad + "\n");
    EXPECT_THAT(error(), HasSubstr("dict.txt:2: ")) << bad;
  }
  for (const std::string empty : {"", "中 0 n\n"}) {
    write("dict.txt", empty);
    EXPECT_THAT(error(), HasSubstr("holds no word"));
  }
  write("dict.txt", "中 3 n");
  // Beside a table that the literals' own parser refuses, tables of another form.
  const std::pair<const char*, const char*> tables[] = {
      {"prob_start.py", "import os"},
      {"prob_start.py", "P={'B': -1,"},
      {"prob_start.py", "P=[]"},
      {"prob_start.py", "P={'B': 0, 'E': 0, 'M': 0}"},
      {"prob_start.py", "P={'B': 0, 'E': 0, 'M': 0, 'X': 0}"},
      {"prob_start.py", "P={'B': 0, 'E': 0, 'M': 0, 'S': 'x'}"},
      {"prob_start.py", "P={'B': 0, 'E': 0, 'M': 0, 'S': {}}"},
      {"prob_start.py", "P={'B': 0, 'E': 0, 'M': 0, 'S': 1e999}"},
      {"prob_trans.py", "P={'B': {}, 'E': {}, 'M': {}, 'S': 0}"},
      {"prob_trans.py", "P={'B': {}, 'E': {}, 'M': {}, 'S': {'X': 0}}"},
      {"prob_trans.py", "P={'B': {}, 'E': {}, 'M': {}, 'S': {'B': None}}"},
      {"prob_emit.py", "P={'B': {}, 'E': {}, 'M': {}, 'S': {'ab': 0}}"},
      {"prob_emit.py", "P={'B': {}, 'E': {}, 'M': {}, 'S': {'': 0}}"},
      {"prob_emit.py", "P={'B': {}, 'E': {}, 'M': {}, 'S': {'a': True}}"},
  };
  for (const auto& [name, text] : tables) {
    const std::string file = std::string("finalseg/") + name, whole = read_file(folder_ / file);
    write(file, text);
    EXPECT_THAT(error(), HasSubstr(name)) << text;
    write(file, whole);
  }
  EXPECT_EQ(error(), "no DataError");
  std::filesystem::remove(folder_ / "finalseg/prob_start.py");
  EXPECT_THAT(error(), HasSubstr("prob_start.py"));
}

// The dictionary of the package, cut off or with other bytes at any place: refused or read, nothing else.
TEST_F(DamagedJieba, AnyBytesAreRefusedOrRead) {
  const auto package = testing::dictionaries() / "jieba";
  std::string emission = read_file(package / "finalseg/prob_emit.py");
  for (const char* name : {"prob_start.py", "prob_trans.py"}) {
    std::filesystem::copy_file(package / "finalseg" / name, folder_ / "finalseg" / name,
                               std::filesystem::copy_options::overwrite_existing);
  }
  int refused = 0;
  for (size_t end = 1; end < 3000; end += 37) {
    write("finalseg/prob_emit.py", emission.substr(0, end));
    refused += error() != "no DataError";
  }
  EXPECT_EQ(refused, 82);
  std::string text = "中国 10 ns\n中 3 n\n";
  for (size_t i = 0; i < text.size(); ++i) {
    for (const char c : {'\0', '\n', ' ', '\xE4', '9'}) {
      std::string damaged = text;
      damaged[i] = c;
      write("dict.txt", damaged);
      error_of([&] { PrefixDictionary::load(folder_ / "dict.txt").find(U"中国"); });
    }
  }
}

}  // namespace
}  // namespace namm::tasks
