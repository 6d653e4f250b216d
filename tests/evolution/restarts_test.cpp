#include "evolution/optimizers/restarts.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "evolution/optimizer_list.h"
#include "tests/evolution/support/objectives.h"

namespace namm::evolution {
namespace {

/// Many local minima on a regular grid.
double rastrigin(std::span<const double> x) {
  double sum = 0;
  for (const double value : x) {
    sum += value * value + 10 * (1 - std::cos(2 * M_PI * value));
  }
  return sum;
}

OptimizerConfig restarting(const std::string& scheme, const std::string& kind = "cma-es") {
  OptimizerConfig config;
  config.kind = kind;
  config.sigma = 2;
  config.restarts = scheme;
  config.restart_radius = 4;
  return config;
}

/// Populations in the order in which they were used.
std::vector<int64_t> populations(Optimizer& optimizer, const testing::Objective& objective, int generations) {
  std::vector<int64_t> list;
  for (int generation = 0; generation < generations && !optimizer.stop(); ++generation) {
    if (list.empty() || list.back() != optimizer.population()) {
      list.push_back(optimizer.population());
    }
    optimizer.tell(testing::fitness_of(objective, optimizer.ask(), optimizer.dimension()));
  }
  return list;
}

TEST(Restarts, IpopDoublesThePopulation) {
  OptimizerConfig config = restarting("ipop");
  config.population = 7;
  config.max_restarts = 4;
  const auto optimizer = make_optimizer(config, std::vector<double>(3, 1.0), 1);
  EXPECT_THAT(populations(*optimizer, testing::sphere, 20000), ::testing::ElementsAre(7, 14, 28, 56, 112));
  ASSERT_TRUE(optimizer->stop());
  EXPECT_THAT(*optimizer->stop(),
              ::testing::StartsWith("restarts: all 4 were made; the last run ended by tol"));
}

TEST(Restarts, MirroredPopulationsStayEven) {
  OptimizerConfig config = restarting("bipop", "cr-fm-nes");
  config.population = 6;
  config.max_restarts = 3;
  const auto optimizer = make_optimizer(config, std::vector<double>(3, 1.0), 1);
  for (const int64_t population : populations(*optimizer, rastrigin, 20000)) {
    EXPECT_EQ(population % 2, 0);
  }
  EXPECT_TRUE(optimizer->stop());
}

/// Large runs double, small ones stay below half of the last large one, and neither side gets far ahead.
TEST(Restarts, BipopAlternatesAndKeepsTheBalance) {
  OptimizerConfig config = restarting("bipop");
  config.max_restarts = 5;
  const auto optimizer = make_optimizer(config, std::vector<double>(4, 1.0), 3);
  const int64_t first = optimizer->population();
  std::set<int64_t> seen;
  int64_t small = 0, large = 0, largest = first;
  auto* runs = dynamic_cast<RestartingOptimizer*>(optimizer.get());
  ASSERT_NE(runs, nullptr);
  while (!optimizer->stop() && optimizer->generation() < 100000) {
    const int64_t population = optimizer->population();
    seen.insert(population);
    largest = std::max(largest, population);
    (population == largest && runs->restarts() > 0 ? large : small) += population;
    optimizer->tell(testing::fitness_of(rastrigin, optimizer->ask(), 4));
  }
  ASSERT_TRUE(optimizer->stop());
  EXPECT_EQ(largest, first << 5);
  EXPECT_GT(runs->restarts(), 6);
  EXPECT_GT(seen.size(), 6U);
  EXPECT_GT(static_cast<double>(small), 0.2 * static_cast<double>(large));
  EXPECT_LT(static_cast<double>(small), 2.0 * static_cast<double>(large));
}

/// What restarts are for: one run of the default population rarely finds the best of 10^4 minima.
TEST(Restarts, FindWhatOneRunMisses) {
  OptimizerConfig single = restarting("none");
  int found_single = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const auto optimizer = make_optimizer(single, std::vector<double>(4, 2.5), seed);
    found_single += testing::evaluations_to(*optimizer, rastrigin, 1e-8, 3000) > 0;
  }
  EXPECT_LE(found_single, 5);
  for (const std::string scheme : {"ipop", "bipop"}) {
    int found = 0;
    for (uint64_t seed = 1; seed <= 10; ++seed) {
      const auto optimizer = make_optimizer(restarting(scheme), std::vector<double>(4, 2.5), seed);
      found += testing::evaluations_to(*optimizer, rastrigin, 1e-8, 200000) > 0;
    }
    EXPECT_GE(found, 9) << scheme;
  }
}

/// Saved and restored in every generation, across several restarts.
TEST(Restarts, ContinueBitForBitAcrossRestarts) {
  OptimizerConfig config = restarting("bipop");
  config.average_mean = 4;
  config.reevaluations = 3;
  const auto original = make_optimizer(config, std::vector<double>(3, 1.0), 5);
  auto copy = make_optimizer(config, std::vector<double>(3, 1.0), 5);
  std::set<int64_t> seen;
  for (int generation = 0; generation < 700; ++generation) {
    auto fresh = make_optimizer(config, std::vector<double>(3), 77);
    fresh->restore(copy->state());
    copy = std::move(fresh);
    ASSERT_EQ(copy->population(), original->population());
    seen.insert(original->population());
    const std::vector<double> x = original->ask();
    ASSERT_EQ(copy->ask(), x) << generation;
    const std::vector<double> fitness = testing::fitness_of(rastrigin, x, 3);
    original->tell(fitness);
    copy->tell(fitness);
    ASSERT_EQ(copy->state().arrays, original->state().arrays) << generation;
    ASSERT_EQ(std::vector<double>(copy->mean().begin(), copy->mean().end()),
              std::vector<double>(original->mean().begin(), original->mean().end()));
  }
  EXPECT_GT(seen.size(), 4U) << "too few restarts: the test shows nothing";
}

/// The answer never falls behind that of an earlier run.
TEST(Restarts, TheAnswerIsThatOfTheBestRun) {
  const auto optimizer = make_optimizer(restarting("bipop"), std::vector<double>(3, 2.5), 2);
  auto* runs = dynamic_cast<RestartingOptimizer*>(optimizer.get());
  ASSERT_NE(runs, nullptr);
  double best_end = INFINITY;
  while (runs->restarts() < 8) {
    const int64_t before = runs->restarts();
    optimizer->tell(testing::fitness_of(rastrigin, optimizer->ask(), 3));
    if (runs->restarts() > before) {
      const double answer = rastrigin(optimizer->mean());
      EXPECT_LT(answer, best_end + 1e-6);
      best_end = std::min(best_end, answer);
      EXPECT_NE(runs->last_reason(), "");
    }
  }
}

TEST(Restarts, RestoreRefusesAnotherFirstPopulation) {
  OptimizerConfig config = restarting("ipop");
  config.population = 8;
  const auto saved = make_optimizer(config, std::vector<double>(3), 1)->state();
  config.population = 10;
  EXPECT_THROW(make_optimizer(config, std::vector<double>(3), 1)->restore(saved), DataError);
}

}  // namespace
}  // namespace namm::evolution
