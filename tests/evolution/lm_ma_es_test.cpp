#include "evolution/optimizers/lm_ma_es.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/evolution/support/objectives.h"

namespace namm::evolution {
namespace {

TEST(LmMaConstants, Rates) {
  const LmMaConstants constants = lm_ma_constants(300, 20);
  EXPECT_EQ(constants.vectors, 4 + 17);
  EXPECT_EQ(constants.parents, 10);
  EXPECT_NEAR(constants.c_sigma, 40.0 / 300, 1e-15);
  EXPECT_NEAR(constants.c_d[0], 1.0 / 300, 1e-15);
  EXPECT_NEAR(constants.c_d[2], 1 / (2.25 * 300), 1e-15);
  EXPECT_NEAR(constants.c_c[0], 20.0 / 300, 1e-15);
  EXPECT_NEAR(constants.c_c[1], 5.0 / 300, 1e-15);
  // Populations beyond n / 2, where the paper's rate would pass 1.
  EXPECT_EQ(lm_ma_constants(10, 40).c_sigma, 1);
  EXPECT_EQ(lm_ma_constants(10, 40).c_c[0], 1);
}

/// Public report evolution-03: such a variant drifted to an infinite step size here.
TEST(LmMaEs, SphereOfThreeHundredParametersConverges) {
  LmMaEs optimizer(4 + static_cast<int64_t>(3 * std::log(300.0)), 1.5, std::vector<double>(300, 5.0), 1);
  ASSERT_GT(testing::evaluations_to(optimizer, testing::sphere, 1e-10, 200000), 0);
  EXPECT_LT(optimizer.sigma(), 1e-5);
  EXPECT_FALSE(optimizer.stop());
}

/// Identity start, no matrix: the trajectory turns with the problem when the draws turn with it.
TEST(LmMaEs, IsInvariantUnderRotationAndShift) {
  const int64_t n = 16, population = 8;
  const std::vector<double> q = testing::rotation(n, 5);
  LmMaEs plain(population, 0.4, std::vector<double>(n), 1),
      turned(population, 0.4, std::vector<double>(n, 3.0), 1);
  const auto turn = [&](std::span<const double> x) {
    std::vector<double> y(static_cast<std::size_t>(n));
    for (int64_t r = 0; r < n; ++r) {
      for (int64_t i = 0; i < n; ++i) {
        y[r] += q[r * n + i] * x[i];
      }
    }
    return y;
  };
  for (uint64_t generation = 0; generation < 40; ++generation) {
    std::vector<double> draws, turned_draws;
    for (uint64_t member = 0; member < population; ++member) {
      RandomStream stream({.seed = 9, .purpose = "test", .generation = generation, .member = member});
      std::vector<double> draw;
      for (int64_t i = 0; i < n; ++i) {
        draw.push_back(stream.normal());
      }
      draws.insert(draws.end(), draw.begin(), draw.end());
      const std::vector<double> turned_draw = turn(draw);
      turned_draws.insert(turned_draws.end(), turned_draw.begin(), turned_draw.end());
    }
    std::vector<double> distance = plain.ask_from(draws);
    turned.ask_from(turned_draws);
    for (double& value : distance) {
      value -= 1;
    }
    const std::vector<double> fitness = testing::fitness_of(testing::ellipsoid, distance, n);
    plain.tell(fitness);
    turned.tell(fitness);
  }
  const std::vector<double> expected = turn(plain.mean());
  for (int64_t i = 0; i < n; ++i) {
    EXPECT_NEAR(turned.mean()[i] - 3, expected[i], 1e-9);
  }
  EXPECT_NEAR(turned.sigma(), plain.sigma(), 1e-9);
  EXPECT_GT(std::abs(plain.mean()[0]), 0.01) << "it did not move: the test shows nothing";
}

/// What the vectors learn: one direction a thousand times as long as the others, hidden by a rotation.
TEST(LmMaEs, FindsAHiddenDirection) {
  const int64_t n = 60;
  const auto cigar = testing::rotated(testing::cigar, testing::rotation(n, 3));
  LmMaEs optimizer(16, 1, std::vector<double>(n, 1.0), 2);
  const int64_t count = testing::evaluations_to(optimizer, cigar, 1e-8, 400000);
  RecordProperty("evaluations", std::to_string(count));
  EXPECT_GT(count, 0);
}

}  // namespace
}  // namespace namm::evolution
