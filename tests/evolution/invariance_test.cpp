#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include <gtest/gtest.h>

#include "evolution/optimizers/cma_es.h"
#include "evolution/optimizers/lm_ma_es.h"
#include "evolution/optimizers/sep_cma_es.h"
#include "tests/evolution/support/objectives.h"

/// What the CMA family has in common, shown from given draws.
namespace namm::evolution {
namespace {

struct Full {
  CmaEs<double> optimizer;
  Full(int64_t population, double sigma, double start, int64_t n, uint64_t seed = 1)
      : optimizer({population, sigma, 0.5, false}, std::vector<double>(n, start), seed) {}
  std::vector<double> ask(std::span<const double> draws) {
    return optimizer.ask_from(draws, CmaEs<double>::Root::eigenvectors);
  }
};

template <class T>
struct Linear {
  T optimizer;
  Linear(int64_t population, double sigma, double start, int64_t n, uint64_t seed = 1)
      : optimizer(population, sigma, std::vector<double>(n, start), seed) {}
  std::vector<double> ask(std::span<const double> draws) { return optimizer.ask_from(draws); }
};

std::vector<double> draws_of(int64_t population, int64_t n, uint64_t generation) {
  RandomStream stream({.seed = 9, .purpose = "test", .generation = generation});
  std::vector<double> draws;
  for (int64_t i = 0; i < population * n; ++i) {
    draws.push_back(stream.normal());
  }
  return draws;
}

template <class T>
class CmaFamily : public ::testing::Test {};
using Family = ::testing::Types<Full, Linear<SepCmaEs>, Linear<LmMaEs>>;
TYPED_TEST_SUITE(CmaFamily, Family);

TYPED_TEST(CmaFamily, TheOrderOfMembersIsIrrelevant) {
  const int64_t n = 9, population = 10;
  TypeParam straight(population, 0.4, 1, n), shuffled(population, 0.4, 1, n);
  RandomStream stream({.seed = 3, .purpose = "order"});
  for (uint64_t generation = 0; generation < 60; ++generation) {
    const std::vector<double> draws = draws_of(population, n, generation);
    std::vector<int64_t> order(population);
    std::iota(order.begin(), order.end(), 0);
    stream.shuffle(order);
    std::vector<double> mixed;
    for (const int64_t member : order) {
      mixed.insert(mixed.end(), draws.begin() + member * n, draws.begin() + (member + 1) * n);
    }
    straight.optimizer.tell(testing::fitness_of(testing::ellipsoid, straight.ask(draws), n));
    shuffled.optimizer.tell(testing::fitness_of(testing::ellipsoid, shuffled.ask(mixed), n));
  }
  // Sums run in order of rank, so even the last bits agree; the full matrix product may block its columns.
  for (int64_t i = 0; i < n; ++i) {
    EXPECT_NEAR(straight.optimizer.mean()[i], shuffled.optimizer.mean()[i], 1e-12);
  }
  EXPECT_NEAR(straight.optimizer.sigma(), shuffled.optimizer.sigma(), 1e-12);
}

TYPED_TEST(CmaFamily, AShiftedProblemIsTheSameProblem) {
  const int64_t n = 9, population = 10;
  TypeParam plain(population, 0.4, 1, n), shifted(population, 0.4, 5, n);
  for (uint64_t generation = 0; generation < 60; ++generation) {
    const std::vector<double> draws = draws_of(population, n, generation);
    plain.optimizer.tell(testing::fitness_of(testing::ellipsoid, plain.ask(draws), n));
    std::vector<double> x = shifted.ask(draws);
    for (double& value : x) {
      value -= 4;
    }
    shifted.optimizer.tell(testing::fitness_of(testing::ellipsoid, x, n));
  }
  for (int64_t i = 0; i < n; ++i) {
    EXPECT_NEAR(plain.optimizer.mean()[i] + 4, shifted.optimizer.mean()[i], 1e-9);
  }
}

/// Fitness that says nothing must not drive the step size anywhere: the mean over runs of ln sigma stays
/// within four standard errors of zero.
TYPED_TEST(CmaFamily, RandomRankingLeavesTheStepSizeAlone) {
  const int64_t n = 20, population = 12;
  const int runs = 6, generations = 300;
  double sum = 0, squares = 0;
  for (int run = 0; run < runs; ++run) {
    TypeParam subject(population, 1, 0, n, static_cast<uint64_t>(100 + run));
    RandomStream stream({.seed = static_cast<uint64_t>(run), .purpose = "ranking"});
    for (int generation = 0; generation < generations; ++generation) {
      subject.optimizer.ask();
      std::vector<double> fitness;
      for (int64_t member = 0; member < population; ++member) {
        fitness.push_back(stream.uniform());
      }
      subject.optimizer.tell(fitness);
      ASSERT_FALSE(subject.optimizer.stop());
    }
    const double logarithm = std::log(subject.optimizer.sigma());
    sum += logarithm / runs;
    squares += logarithm * logarithm / runs;
  }
  const double deviation = std::sqrt(std::max(squares - sum * sum, 0.1));
  EXPECT_LT(std::abs(sum), 4 * deviation / std::sqrt(runs)) << "deviation of one run " << deviation;
}

}  // namespace
}  // namespace namm::evolution
