#include "core/random.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>

#include <gtest/gtest.h>

namespace namm {
namespace {

using Block = std::array<uint32_t, 4>;

// Known-answer vectors of Random123 (tests/kat_vectors, "philox4x32 10").
TEST(Philox, PublishedVectors) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomStream, NumbersDependOnTheKeyAlone) {
  RandomStream a({.seed = 7, .purpose = "test", .generation = 3, .member = 2, .sample = 1});
  RandomStream b({.seed = 7, .purpose = "test", .generation = 3, .member = 2, .sample = 1});
  RandomStream other({.seed = 7, .purpose = "test", .generation = 3, .member = 2, .sample = 2});
  // Two streams drawn alternately give what they give one after the other.
  std::vector<uint64_t> first;
  for (int i = 0; i < 100; ++i) {
    first.push_back(a.uint64());
    other.uint32();
  }
  for (const uint64_t value : first) {
    EXPECT_EQ(b.uint64(), value);
  }
}

TEST(RandomStream, EveryPartOfTheKeyMatters) {
  const StreamKey base{.seed = 5, .purpose = "p", .generation = 1, .member = 2, .sample = 3};
  std::set<uint64_t> seen;
  const auto draw = [&](StreamKey key) { seen.insert(RandomStream(key).uint64()); };
  draw(base);
  for (int part = 0; part < 5; ++part) {
    StreamKey key = base;
    (part == 0 ? key.seed : part == 1 ? key.generation : part == 2 ? key.member : key.sample) += 1;
    if (part == 4) {
      key = base;
      key.purpose = "q";
    }
    draw(key);
  }
  // Moving a number from one part to another is another key as well.
  draw({.seed = 5, .purpose = "p", .generation = 2, .member = 1, .sample = 3});
  draw({.seed = 5, .purpose = "p1", .generation = 1, .member = 2, .sample = 3});
  EXPECT_EQ(seen.size(), 8U);
}

TEST(RandomStream, SeedZeroIsASeed) {
  const auto draw = [](uint64_t seed) {
    return RandomStream({.seed = seed, .purpose = "population"}).uint64();
  };
  EXPECT_EQ(draw(0), draw(0));
  EXPECT_NE(draw(0), draw(1));
}

// The first numbers of one stream, computed by an independent program; a change would break every stored run.
TEST(RandomStream, FirstNumbersNeverChange) {
  RandomStream stream({.seed = 1, .purpose = "population", .generation = 2, .member = 3, .sample = 4});
  EXPECT_EQ(stream.uint64(), 15487884083519706043U);
  EXPECT_EQ(stream.normal(), -0.9103370192175082);
  EXPECT_EQ(stream.uniform(), 0.9387865942436552);
}

TEST(RandomStream, PositionCanBeSet) {
  const StreamKey key{.seed = 9, .purpose = "x"};
  RandomStream stream(key);
  for (int i = 0; i < 5; ++i) {
    stream.normal();
    stream.uint32();
  }
  const uint64_t position = stream.position();
  EXPECT_EQ(position, 15U);
  const double next = stream.normal();
  RandomStream resumed(key);
  resumed.set_position(position);
  EXPECT_EQ(resumed.normal(), next);
  resumed.set_position(0);
  EXPECT_EQ(resumed.uint32(), RandomStream(key).uint32());
}

TEST(RandomStream, UniformLiesInTheHalfOpenInterval) {
  RandomStream stream({.seed = 1, .purpose = "uniform"});
  double sum = 0;
  for (int i = 0; i < 100'000; ++i) {
    const double value = stream.uniform();
    ASSERT_GE(value, 0);
    ASSERT_LT(value, 1);
    sum += value;
  }
  EXPECT_NEAR(sum / 100'000, 0.5, 0.005);
}

TEST(RandomStream, IntegersAreUnbiased) {
  RandomStream stream({.seed = 1, .purpose = "integers"});
  std::array<int, 6> counts{};
  for (int i = 0; i < 60'000; ++i) {
    ++counts[stream.uniform_int(6)];
  }
  for (const int count : counts) {
    EXPECT_NEAR(count, 10'000, 400);
  }
  EXPECT_EQ(stream.uniform_int(1), 0U);
  // With n = 3/4 of 2^64 a plain remainder would give the lower third twice as often.
  int low = 0;
  const uint64_t n = uint64_t{3} << 62U;
  for (int i = 0; i < 30'000; ++i) {
    low += stream.uniform_int(n) < n / 3 ? 1 : 0;
  }
  EXPECT_NEAR(low, 10'000, 400);
  EXPECT_THROW(stream.uniform_int(0), std::invalid_argument);
}

TEST(RandomStream, NormalHasTheRightMoments) {
  RandomStream stream({.seed = 1, .purpose = "normal"});
  constexpr int n = 200'000;
  double sum = 0, square = 0, cube = 0, fourth = 0;
  for (int i = 0; i < n; ++i) {
    const double x = stream.normal();
    sum += x;
    square += x * x;
    cube += x * x * x;
    fourth += x * x * x * x;
  }
  EXPECT_NEAR(sum / n, 0, 0.01);
  EXPECT_NEAR(square / n, 1, 0.015);
  EXPECT_NEAR(cube / n, 0, 0.04);
  EXPECT_NEAR(fourth / n, 3, 0.1);
}

TEST(InverseNormal, AgreesWithTheDistributionFunction) {
  EXPECT_NEAR(inverse_normal(0.975), 1.959963984540054, 1e-15);
  EXPECT_NEAR(inverse_normal(1e-10), -6.361340902404056, 1e-14);
  EXPECT_EQ(inverse_normal(0.5), 0);
  for (double p = 1e-16; p < 0.5; p *= 1.37) {
    const double z = inverse_normal(p);
    EXPECT_NEAR(0.5 * std::erfc(-z / std::sqrt(2.0)) / p, 1, 2e-13) << p;
  }
  for (double p = 0.005; p < 1; p += 0.005) {
    EXPECT_NEAR(0.5 * std::erfc(-inverse_normal(p) / std::sqrt(2.0)), p, 5e-16) << p;
  }
  EXPECT_EQ(inverse_normal(0.25), -inverse_normal(0.75));
  EXPECT_THROW(inverse_normal(0), std::invalid_argument);
  EXPECT_THROW(inverse_normal(1), std::invalid_argument);
  EXPECT_THROW(inverse_normal(std::numeric_limits<double>::quiet_NaN()), std::invalid_argument);
}

TEST(RandomStream, ShuffleKeepsTheItems) {
  RandomStream stream({.seed = 1, .purpose = "shuffle"});
  std::vector<int> items(50);
  std::iota(items.begin(), items.end(), 0);
  std::vector<int> shuffled = items;
  stream.shuffle(shuffled);
  EXPECT_NE(shuffled, items);
  std::sort(shuffled.begin(), shuffled.end());
  EXPECT_EQ(shuffled, items);
}

TEST(RandomStream, ShuffleReachesAllOrders) {
  RandomStream stream({.seed = 1, .purpose = "orders"});
  std::map<std::vector<int>, int> counts;
  for (int i = 0; i < 6000; ++i) {
    std::vector<int> items = {0, 1, 2};
    stream.shuffle(items);
    ++counts[items];
  }
  ASSERT_EQ(counts.size(), 6U);
  for (const auto& [order, count] : counts) {
    EXPECT_NEAR(count, 1000, 150);
  }
}

TEST(RandomStream, SamplesWithoutReplacement) {
  RandomStream stream({.seed = 1, .purpose = "sample"});
  const std::vector<int64_t> drawn = stream.sample_without_replacement(1'000'000'000'000, 1000);
  EXPECT_EQ(std::set<int64_t>(drawn.begin(), drawn.end()).size(), 1000U);
  std::vector<int64_t> all = stream.sample_without_replacement(20, 20);
  std::sort(all.begin(), all.end());
  std::vector<int64_t> expected(20);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(all, expected);
  std::array<int, 5> first{};
  for (int i = 0; i < 10'000; ++i) {
    ++first[static_cast<std::size_t>(stream.sample_without_replacement(5, 2)[1])];
  }
  for (const int count : first) {
    EXPECT_NEAR(count, 2000, 200);
  }
  EXPECT_TRUE(stream.sample_without_replacement(3, 0).empty());
  EXPECT_THROW(stream.sample_without_replacement(3, 4), std::invalid_argument);
}

}  // namespace
}  // namespace namm
