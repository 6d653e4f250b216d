#include "models/stop_text.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace namm::models {
namespace {

struct Seen {
  std::string text;
  bool met = false;
};

Seen feed(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopText stop(stops);
  Seen seen;
  for (const std::string& piece : pieces) seen.text += stop.add(piece);
  seen.met = stop.met();
  seen.text += stop.finish();
  return seen;
}

TEST(StopText, EndsBeforeTheFirstOfThem) {
  EXPECT_EQ(feed({"END", "\n"}, {"one E", "N", "D two\n"}).text, "one ");
  EXPECT_EQ(feed({"END", "\n"}, {"one\n", "END"}).text, "one");
  EXPECT_EQ(feed({"END"}, {"one EN", "d"}).text, "one ENd");
  EXPECT_EQ(feed({"END"}, {"one EN"}).text, "one EN") << "what was held back comes at the end";
  EXPECT_EQ(feed({""}, {"a", "b"}).text, "ab");
  EXPECT_EQ(feed({}, {"a", "b"}).text, "ab");
  EXPECT_TRUE(feed({"aab"}, {"aa", "ab"}).met);
  EXPECT_EQ(feed({"aab"}, {"aa", "ab"}).text, "a");
}

TEST(StopText, NothingIsHeldBackLongerThanItMayBeAStop) {
  StopText stop({"STOP"});
  EXPECT_EQ(stop.add("a S"), "a ");
  EXPECT_EQ(stop.add("o"), "So");
  EXPECT_EQ(stop.add("STO"), "");
  EXPECT_EQ(stop.add("STOP after"), "STO");
  EXPECT_TRUE(stop.met());
  EXPECT_EQ(stop.add("more"), "");
  EXPECT_EQ(stop.finish(), "");
}

// Against a search in the whole text, for every way to cut it.
TEST(StopText, PiecesDoNotMatter) {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    const auto letters = [&](size_t least, size_t most) {
      std::string text;
      for (size_t n = least + random() % (most - least + 1); n > 0; --n) text += "ab"[random() % 2];
      return text;
    };
    const std::string text = letters(0, 20);
    const std::vector<std::string> stops = {letters(1, 4), letters(2, 5)};
    std::pair<size_t, size_t> first(std::string::npos, std::string::npos);  // end and beginning
    for (const std::string& stop : stops) {
      const size_t begin = text.find(stop);
      if (begin != std::string::npos) first = std::min(first, std::pair(begin + stop.size(), begin));
    }
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + random() % 4;
      pieces.push_back(text.substr(at, n));
      at += n;
    }
    const Seen seen = feed(stops, pieces);
    EXPECT_EQ(seen.met, first.first != std::string::npos) << text;
    EXPECT_EQ(seen.text, text.substr(0, first.second)) << text << ", " << stops[0] << ", " << stops[1];
  }
}

}  // namespace
}  // namespace namm::models
