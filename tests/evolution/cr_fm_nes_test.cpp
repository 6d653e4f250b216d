#include "evolution/optimizers/cr_fm_nes.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "tests/evolution/support/objectives.h"

namespace namm::evolution {
namespace {

TEST(CrFmNesConstants, RatesOfTheTable) {
  // evolution 1, last column: 1 / eta_B for lambda 32.
  EXPECT_NEAR(1 / cr_fm_nes_constants(1000, 32).eta_b, 45, 0.6);
  EXPECT_NEAR(1 / cr_fm_nes_constants(2000, 32).eta_b, 86, 0.6);
  EXPECT_NEAR(1 / cr_fm_nes_constants(5000, 32).eta_b, 208, 0.6);
  EXPECT_NEAR(1 / cr_fm_nes_constants(20000, 32).eta_b, 820, 1);
}

TEST(CrFmNesConstants, WeightsSumToZeroAndTheRawOnesAreHalf) {
  const CrFmNesConstants constants = cr_fm_nes_constants(50, 16);
  double sum = 0;
  for (const double weight : constants.weights) {
    sum += weight;
  }
  EXPECT_NEAR(sum, 0, 1e-12);
  EXPECT_GT(constants.raw_weights[7], 0);
  EXPECT_EQ(constants.raw_weights[8], 0);
  EXPECT_NEAR(constants.raw_weights[0], std::log(9.0), 1e-12);
}

/// The damped Newton iteration of the paper overflows here; the equation must hold at any size.
TEST(CrFmNesConstants, DistanceWeightSolvesItsEquation) {
  for (const int64_t n : {2, 40, 5000, 4172, 1000000}) {
    const CrFmNesConstants constants = cr_fm_nes_constants(n, 32);
    const double h = constants.alpha / std::min(1.0, std::sqrt(32.0 / static_cast<double>(n)));
    EXPECT_NEAR((1 + h * h) * std::exp(h * h / 2) / 0.24 / (10 + static_cast<double>(n)), 1, 1e-9) << n;
  }
}

TEST(CrFmNes, MembersAreMirrorImages) {
  CrFmNes optimizer(8, 0.3, std::vector<double>(11, 2.0), 1);
  const std::vector<double> x = optimizer.ask();
  for (int64_t k = 0; k < 4; ++k) {
    for (int64_t i = 0; i < 11; ++i) {
      EXPECT_NEAR(x[k * 11 + i] + x[(k + 4) * 11 + i], 4.0, 1e-12);
    }
  }
}

/// Median of seeds: the diagonal part learns an axis-parallel ellipsoid far faster than a full covariance
/// matrix would (48,465 evaluations of pycma).
TEST(CrFmNes, LearnsScalesQuickly) {
  std::vector<int64_t> counts;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CrFmNes optimizer(16, 1, std::vector<double>(40, 3.0), seed);
    counts.push_back(testing::evaluations_to(optimizer, testing::ellipsoid, 1e-8, 100000));
    ASSERT_GT(counts.back(), 0) << seed;
  }
  std::sort(counts.begin(), counts.end());
  RecordProperty("median", std::to_string(counts[2]));
  EXPECT_LT(counts[2], 35000);
}

/// One long hidden direction is what v is for; at higher condition numbers D may lose its sign, which stops
/// the run by name.
TEST(CrFmNes, FindsAHiddenDirection) {
  const int64_t n = 30;
  const std::vector<double> q = testing::rotation(n, 3);
  const auto cigar = [](std::span<const double> x) { return testing::sphere(x) * 100 - 99 * x[0] * x[0]; };
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    CrFmNes optimizer(16, 1, std::vector<double>(n, 1.0), seed);
    const int64_t count = testing::evaluations_to(optimizer, testing::rotated(cigar, q), 1e-8, 60000);
    EXPECT_GT(count, 0);
    EXPECT_LT(count, 8000);
  }
}

TEST(CrFmNes, ScaleKeepsDeterminantOne) {
  CrFmNes optimizer(12, 1, std::vector<double>(20, 3.0), 4);
  for (int generation = 0; generation < 200; ++generation) {
    optimizer.tell(testing::fitness_of(testing::ellipsoid, optimizer.ask(), 20));
  }
  const NamedArrays arrays = optimizer.state().arrays;
  double logarithm = 0, v2 = 0;
  for (const double value : doubles_of(arrays, "d")) {
    logarithm += std::log(value);
  }
  for (const double value : doubles_of(arrays, "v")) {
    v2 += value * value;
  }
  EXPECT_NEAR(logarithm + std::log(1 + v2) / 2, 0, 1e-9);
}

TEST(CrFmNes, WorksWithThousandsOfParameters) {
  CrFmNes optimizer(16, 0.065, std::vector<double>(4172), 1);
  const testing::Objective target = [](std::span<const double> x) {
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      sum += std::pow(x[i] - std::sin(static_cast<double>(i)), 2);
    }
    return sum;
  };
  const double before = target(optimizer.mean());
  for (int generation = 0; generation < 100; ++generation) {
    optimizer.tell(testing::fitness_of(target, optimizer.ask(), 4172));
  }
  const double after = target(optimizer.mean());
  EXPECT_FALSE(optimizer.stop());
  EXPECT_LT(after, 0.9 * before);
}

}  // namespace
}  // namespace namm::evolution
