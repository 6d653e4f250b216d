#include "memory/budget.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/errors.h"

namespace namm::memory {
namespace {

using Counts = std::vector<int64_t>;

const TransformerShape kShape{.layers = 2, .heads = 6, .kv_heads = 3, .head_dim = 4};
const Budget kMatch = Budget::match_namm();
const Budget kMatchLayers{Budget::Kind::match_namm_layers, 0, 0};
const Budget kMatchHeads{Budget::Kind::match_namm_heads, 0, 0};

RecordedCounts recorded() {
  RecordedCounts counts;
  counts.rows[7] = {{10, 1, 3, 1, 1, 7}, {5, 5, 5, 1, 1, 1}};
  counts.rows[8] = {};
  return counts;
}

RowView row(int64_t tag, int64_t update) {
  return {.tag = tag, .tokens_processed = 128 * (update + 1), .update = update};
}

TEST(Budget, MatchNammSpreadsTheTotalEvenlyAndKeepsIt) {
  const RecordedCounts counts = recorded();
  EXPECT_EQ(budget_counts(kMatch, &counts, row(7, 0), kShape, 32), (Counts{4, 4, 4, 4, 4, 3}));
  EXPECT_EQ(budget_counts(kMatch, &counts, row(7, 1), kShape, 32), (Counts{3, 3, 3, 3, 3, 3}));
  EXPECT_EQ(budget_counts(kMatchLayers, &counts, row(7, 0), kShape, 32), (Counts{5, 5, 4, 3, 3, 3}));
  EXPECT_EQ(budget_counts(kMatchHeads, &counts, row(7, 0), kShape, 32), (Counts{10, 1, 3, 1, 1, 7}));
}

TEST(Budget, AnEvenShareNeverAsksForMoreThanASegmentCanHold) {
  // NAMM's total grows by at most a period a segment; what a baseline kept plus the period then suffices for
  // its next share.
  RecordedCounts counts;
  const int64_t period = 16;
  for (int64_t tag = 0; tag < 200; ++tag) {
    Counts total_before = {1 + tag * 7 % 90};
    Counts kept(6, 1);
    int64_t total = 6 + tag * 13 % 61;
    for (int64_t update = 0; update < 6; ++update) {
      Counts now(6, 1);
      now[static_cast<size_t>(tag % 6)] += total - 6;
      counts.rows[tag].push_back(now);
      total = std::max<int64_t>(6, total + (tag * 31 + update * 17) % (6 * period + 1) - (update % 2) * 40);
      total = std::min(total, std::accumulate(now.begin(), now.end(), int64_t{0}) + 6 * period);
    }
    Counts before = budget_counts(kMatch, &counts, row(tag, 0), kShape, 32);
    for (int64_t update = 1; update < 6; ++update) {
      const Counts next = budget_counts(kMatch, &counts, row(tag, update), kShape, 32);
      const Counts& namm = counts.rows[tag][static_cast<size_t>(update)];
      EXPECT_EQ(std::accumulate(next.begin(), next.end(), int64_t{0}),
                std::accumulate(namm.begin(), namm.end(), int64_t{0}));
      for (size_t s = 0; s < 6; ++s) EXPECT_LE(next[s], before[s] + period);
      before = next;
    }
  }
}

TEST(Budget, FixedSizesAndFractions) {
  EXPECT_EQ(budget_counts(Budget::of_tokens(12), nullptr, row(1, 0), kShape, 32), Counts(6, 12));
  EXPECT_EQ(budget_counts(Budget::of_fraction(0.3), nullptr, row(1, 0), kShape, 32), Counts(6, 38));
  EXPECT_EQ(budget_counts(Budget::of_fraction(0.29), nullptr, {.tokens_processed = 100}, kShape, 32),
            Counts(6, 29));
  EXPECT_EQ(budget_counts(Budget::of_fraction(1e-9), nullptr, row(1, 0), kShape, 32), Counts(6, 1));
}

TEST(Budget, UpdatesBeyondTheRecordedOnes) {
  const RecordedCounts counts = recorded();
  EXPECT_EQ(budget_counts(kMatchHeads, &counts, row(7, 9), kShape, 32), (Counts{5, 5, 5, 1, 1, 1}));
  EXPECT_EQ(budget_counts(kMatch, &counts, row(8, 0), kShape, 32),
            Counts(6, std::numeric_limits<int64_t>::max()));
}

TEST(Budget, MissingRecordsAreNamed) {
  const RecordedCounts counts = recorded();
  EXPECT_THROW(budget_counts(kMatch, nullptr, row(7, 0), kShape, 32), c10::Error);
  EXPECT_THROW(budget_counts(kMatch, &counts, row(9, 0), kShape, 32), c10::Error);
  EXPECT_THROW(
      budget_counts(kMatch, &counts, row(7, 0), {.layers = 3, .heads = 6, .kv_heads = 3, .head_dim = 4}, 32),
      c10::Error);
}

struct Holder {
  Budget budget;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("budget", self.budget, "tokens of the baselines");
  }
};

Budget read(const std::string& yaml) {
  return read_config<Holder>(ConfigDocument::from_text("budget: " + yaml, "test.yaml")).budget;
}

TEST(BudgetConfig, ReadsWhatItWrites) {
  for (const Budget& budget :
       {kMatch, kMatchLayers, kMatchHeads, Budget::of_tokens(256), Budget::of_fraction(0.125)}) {
    const std::string yaml = to_yaml(Holder{budget});
    EXPECT_EQ(read_config<Holder>(ConfigDocument::from_text(yaml, "test.yaml")).budget, budget) << yaml;
  }
  EXPECT_EQ(read("match_namm_layers"), kMatchLayers);
  EXPECT_EQ(read("{tokens: 64}"), Budget::of_tokens(64));
  EXPECT_EQ(read("{fraction: 0.5}"), Budget::of_fraction(0.5));
}

TEST(BudgetConfig, RefusesEverythingElse) {
  for (const char* bad : {"match_nam", "12", "[]", "{}", "{tokens: 0}", "{tokens: -4}", "{tokens: 1.5}",
                          "{fraction: 0}", "{fraction: 1.01}", "{fraction: .nan}",
                          "{tokens: 1, fraction: 0.5}", "{token: 3}", "null", "[match_namm]"}) {
    EXPECT_THROW(read(bad), ConfigError) << bad;
  }
}

TEST(Budget, BytesAreSpentOnWholeTokens) {
  // Six heads; 20 tokens and a rest that is less than one.
  EXPECT_EQ(budget_counts(Budget::of_bytes(20 * 32 + 31), nullptr, row(1, 0), kShape, 32),
            (Counts{4, 4, 3, 3, 3, 3}));
  EXPECT_THROW(budget_counts(Budget::of_bytes(100), nullptr, row(1, 0), kShape, 0), c10::Error);
  EXPECT_EQ(Budget::of_bytes(4096).text(), "4096 bytes");
  EXPECT_FALSE(Budget::of_bytes(4096).needs_counts());
}

int64_t total(const Counts& counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

// The usual integer recipe gives 260 for 256, 1,032 for 960 and 4,016 for 3,840.
TEST(Budget, PyramidsAddUpToTheToken) {
  for (const auto& [mean, layers] :
       {std::pair<int64_t, int64_t>{64, 4}, {60, 16}, {120, 32}, {1, 5}, {7, 1}}) {
    for (const int64_t heads : {1, 3}) {
      for (const int64_t window : {1, 16, 32, 500}) {
        const Counts even(static_cast<size_t>(layers * heads), mean);
        const Counts pyramid = pyramid_counts(even, Counts(even.size(), 5000), heads, window, 20);
        EXPECT_EQ(total(pyramid), mean * layers * heads);
        EXPECT_TRUE(std::is_sorted(pyramid.rbegin(), pyramid.rend()));
        EXPECT_GE(pyramid.back(), std::min(window, mean));
        if (mean > 32 && layers > 1 && window < 32) {
          EXPECT_GT(pyramid.front(), 2 * pyramid.back());
        }
        if (window == 500) {
          EXPECT_EQ(pyramid, even);
        }
      }
    }
  }
}

// The published code by hand, a window of 8 in 64: of the 56 others the last layer has 56 / 20 = 2.8, the
// first 112 - 2.8 = 109.2, and 35.5 a layer fall away; the sum of what rounding took goes to the first.
TEST(Budget, PyramidsKeepTheWindowOfEveryHead) {
  EXPECT_EQ(pyramid_counts(Counts(4, 64), Counts(4, 1000), 1, 8, 20), (Counts{118, 82, 46, 10}));
}

// Where the first layer's share is more than there is, max = length - window and min = 2 * mean - max.
TEST(Budget, PyramidsAreFlatterWherePromptsAreShort) {
  const auto flat = [](int64_t length) { return pyramid_counts(Counts(4, 64), Counts(4, length), 1, 8, 20); };
  EXPECT_EQ(flat(100), (Counts{100, 76, 52, 28}));
  EXPECT_EQ(flat(90), (Counts{90, 73, 55, 38}));
  EXPECT_EQ(flat(64), Counts(4, 64));
  EXPECT_EQ(flat(50), Counts(4, 50));
  for (const auto& [mean, layers] : {std::pair<int64_t, int64_t>{64, 4}, {60, 16}, {120, 32}}) {
    const Counts even(static_cast<size_t>(layers), mean);
    for (const int64_t length : {2 * mean - 4, mean + 1, mean, mean / 2}) {
      const Counts counts = pyramid_counts(even, Counts(even.size(), length), 1, 16, 20);
      EXPECT_EQ(total(counts), std::min(mean, length) * layers);
      EXPECT_TRUE(std::is_sorted(counts.rbegin(), counts.rend()));
      EXPECT_GE(counts.back(), 1);
      EXPECT_LE(counts.front(), length);
    }
  }
}

TEST(Budget, PyramidsOfAnyBudgetAndLengthsFit) {
  std::mt19937_64 draws(11);
  const auto draw = [&](int64_t least, int64_t most) {
    return std::uniform_int_distribution<int64_t>(least, most)(draws);
  };
  for (int i = 0; i < 3000; ++i) {
    const int64_t layers = draw(1, 6), heads = draw(1, 3);
    Counts counts(static_cast<size_t>(layers * heads)), lengths(counts.size());
    for (int64_t& count : counts)
      count = i % 7 == 0 ? std::numeric_limits<int64_t>::max() - draw(0, 3) : draw(0, 200);
    for (int64_t& length : lengths) length = draw(1, 150);
    const Counts result =
        pyramid_counts(counts, lengths, heads, draw(1, 40), static_cast<double>(draw(1, 30)));
    int64_t wanted = 0;
    for (const int64_t count : counts)
      wanted = std::min<int64_t>(1'000'000, wanted + std::min<int64_t>(count, 10'000));
    EXPECT_EQ(total(result), std::clamp(wanted, std::ssize(counts), total(lengths)));
    for (size_t s = 0; s < counts.size(); ++s) {
      EXPECT_GE(result[s], 1);
      EXPECT_LE(result[s], lengths[s]);
    }
  }
}

TEST(Budget, MostTokensAreThoseBeforeAnUpdate) {
  const auto most = [](const Budget& budget, int64_t tokens) {
    return most_tokens(budget, kShape, 128, tokens, 32);  // six heads
  };
  EXPECT_EQ(most(Budget::of_tokens(64), 1000), 6 * (64 + 128));
  EXPECT_EQ(most(Budget::of_tokens(64), 200), 6 * (64 + 128 - 56));
  EXPECT_EQ(most(Budget::of_tokens(64), 100), 6 * 100);
  EXPECT_EQ(most(Budget::of_tokens(5000), 1000), 6 * 1000);
  EXPECT_EQ(most(Budget::of_fraction(0.25), 1024), 6 * (896 / 4 + 128));
  EXPECT_EQ(most(Budget::of_bytes(6 * 64 * 32 + 70), 1000), 6 * (64 + 128) + 2);
}

TEST(Budget, ExcessGoesWhereThereIsRoom) {
  Counts counts{10, 5, 3, 2};
  pass_on_excess(counts, {6, 9, 3, 4});
  EXPECT_EQ(counts, (Counts{6, 9, 3, 2}));
  Counts all(3, std::numeric_limits<int64_t>::max());
  pass_on_excess(all, {4, 5, 6});
  EXPECT_EQ(all, (Counts{4, 5, 6}));
}

}  // namespace
}  // namespace namm::memory
