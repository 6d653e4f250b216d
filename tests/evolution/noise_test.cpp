#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "evolution/optimizer_list.h"
#include "evolution/optimizers/mean_average.h"
#include "evolution/optimizers/reevaluation.h"
#include "tests/evolution/support/objectives.h"

/// Averaging of the mean and re-evaluation.
namespace namm::evolution {
namespace {

OptimizerConfig cma_es() {
  OptimizerConfig config;
  config.kind = "cma-es";
  config.population = 10;
  config.sigma = 1;
  return config;
}

/// Values of a generation with normal noise of this deviation on each, and an offset that all members share.
std::vector<double> noisy(const std::vector<double>& x, int64_t n, double deviation, double offset,
                          RandomStream& stream) {
  std::vector<double> fitness = testing::fitness_of(testing::sphere, x, n);
  const double shared = offset * stream.normal();
  for (double& value : fitness) {
    value += deviation * stream.normal() + shared;
  }
  return fitness;
}

TEST(MeanAverage, IsTheArithmeticMeanFirstAndFollowsThen) {
  OptimizerConfig config = cma_es();
  const auto plain = make_optimizer(config, std::vector<double>(3, 2.0), 1);
  config.average_mean = 4;
  const auto averaged = make_optimizer(config, std::vector<double>(3, 2.0), 1);
  EXPECT_EQ(averaged->mean()[0], 2.0);
  double expected = 0;
  for (int generation = 1; generation <= 12; ++generation) {
    const std::vector<double> x = plain->ask();
    ASSERT_EQ(averaged->ask(), x) << "the search itself is unchanged";
    plain->tell(testing::fitness_of(testing::sphere, x, 3));
    averaged->tell(testing::fitness_of(testing::sphere, x, 3));
    expected += (plain->mean()[0] - expected) / std::min(generation, 4);
    EXPECT_NEAR(averaged->mean()[0], expected, 1e-14);
  }
}

/// The average lies nearer to the optimum than the mean does, over seeds.
TEST(MeanAverage, LiesNearerToTheOptimumUnderNoise) {
  const int64_t n = 10;
  double plain = 0, averaged = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    OptimizerConfig config = cma_es();
    config.kind = "cr-fm-nes";
    config.average_mean = 200;
    const auto optimizer = make_optimizer(config, std::vector<double>(n, 1.0), seed);
    RandomStream stream({.seed = seed, .purpose = "noise"});
    for (int generation = 0; generation < 600; ++generation) {
      optimizer->tell(noisy(optimizer->ask(), n, 0.5, 0, stream));
    }
    averaged += testing::sphere(optimizer->mean());
    plain += testing::sphere(doubles_of(optimizer->state().arrays, "average_search_mean"));
  }
  EXPECT_LT(averaged, 0.5 * plain) << plain << " " << averaged;
}

TEST(RankChange, IsNegativeWithoutChangeAndPositiveForRandomOrder) {
  std::vector<int64_t> straight(8), turned(8);
  std::iota(straight.begin(), straight.end(), 1);
  std::copy(straight.rbegin(), straight.rend(), turned.begin());
  EXPECT_LT(rank_change(straight, straight), 0);
  EXPECT_NEAR(rank_change(straight, straight), -1.4, 0.25);
  EXPECT_GT(rank_change(straight, turned), 5);
  RandomStream stream({.seed = 2, .purpose = "test"});
  double sum = 0;
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<int64_t> shuffled = straight;
    stream.shuffle(shuffled);
    sum += rank_change(straight, shuffled) / 200;
  }
  // 2 (k^2 - 1) / (3 k) - 1.4 = 3.85 for k = 8.
  EXPECT_NEAR(sum, 3.85, 0.5);
}

/// Without noise nothing happens but the extra evaluations, and neither does noise that all members share.
TEST(Reevaluation, LeavesARunWithoutNoiseAlone) {
  OptimizerConfig config = cma_es();
  const auto plain = make_optimizer(config, std::vector<double>(6, 2.0), 1);
  config.reevaluations = 5;
  const auto watched = make_optimizer(config, std::vector<double>(6, 2.0), 1);
  RandomStream none({.seed = 1, .purpose = "noise"}), shared({.seed = 1, .purpose = "noise"});
  std::vector<double> before;
  for (int generation = 0; generation < 60; ++generation) {
    const std::vector<double> x = plain->ask(), y = watched->ask();
    ASSERT_EQ(std::vector<double>(y.begin(), y.begin() + static_cast<std::ptrdiff_t>(x.size())), x);
    ASSERT_EQ(watched->population(), generation == 0 ? 10 : 15);
    if (generation > 0) {
      EXPECT_EQ(std::vector<double>(y.end() - 5 * 6, y.end()),
                std::vector<double>(before.begin(), before.begin() + 5 * 6));
    }
    before = y;
    plain->tell(noisy(x, 6, 0, 0, none));
    watched->tell(noisy(y, 6, 0, 100, shared));
    EXPECT_EQ(plain->sigma(), watched->sigma());
  }
}

/// Under noise the step size must not collapse. The mean then keeps moving, so the gain shows in its average
/// (evolution/RESULTS.md).
TEST(Reevaluation, KeepsTheStepSizeUpUnderNoise) {
  const int64_t n = 10;
  double sigma[2] = {0, 0}, distance[2] = {0, 0};
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    for (const int watched : {0, 1}) {
      OptimizerConfig config = cma_es();
      config.average_mean = 200;
      config.reevaluations = watched == 1 ? 5 : 0;
      const auto optimizer = make_optimizer(config, std::vector<double>(n, 1.0), seed);
      RandomStream stream({.seed = seed, .purpose = "noise"});
      for (int64_t evaluations = 0; evaluations < 9000; evaluations += optimizer->population()) {
        optimizer->tell(noisy(optimizer->ask(), n, 0.1, 1, stream));
      }
      sigma[watched] += std::log10(optimizer->sigma()) / 10;
      distance[watched] += std::log10(testing::sphere(optimizer->mean())) / 10;
    }
  }
  EXPECT_GT(sigma[1], sigma[0] + 1) << sigma[0] << " " << sigma[1];
  EXPECT_LT(distance[1], distance[0] - 0.7) << distance[0] << " " << distance[1];
}

}  // namespace
}  // namespace namm::evolution
