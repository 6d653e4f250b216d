#include <algorithm>
#include <cmath>
#include <iostream>

#include <gtest/gtest.h>

#include "core/text.h"
#include "evolution/optimizer_list.h"
#include "tests/evolution/support/objectives.h"
#include "tests/support/long_run.h"

/// Evaluations to f <= 1e-8 against pycma 4.4.0 (evolution 4): our median within 15 % of its median.
namespace namm::evolution {
namespace {

using testing::is_long_run;
using testing::Objective;

struct Outcome {
  int64_t median = 0;
  int reached = 0;
};

Outcome run(const OptimizerConfig& config, const Objective& objective, int64_t n, double start, int seeds,
            int64_t budget) {
  std::vector<int64_t> counts;
  for (int seed = 1; seed <= seeds; ++seed) {
    const auto optimizer = make_optimizer(config, std::vector<double>(n, start), seed);
    const int64_t count = testing::evaluations_to(*optimizer, objective, 1e-8, budget);
    if (count > 0) {
      counts.push_back(count);
    }
  }
  if (counts.empty()) {
    return {};
  }
  std::sort(counts.begin(), counts.end());
  return {counts[counts.size() / 2], static_cast<int>(counts.size())};
}

OptimizerConfig cma_es(double sigma = 1) {
  OptimizerConfig config;
  config.kind = "cma-es";
  config.sigma = sigma;
  return config;
}

void expect_near_pycma(int64_t median, double pycma) {
  EXPECT_GT(static_cast<double>(median), 0.85 * pycma);
  EXPECT_LT(static_cast<double>(median), 1.15 * pycma);
}

struct Row {
  const char* name;
  testing::Objective objective;
  double start, sigma;
  double pycma_10, pycma_40;  ///< median evaluations at n = 10 and 40
};

std::vector<Row> table() {
  return {{"sphere", testing::sphere, 3, 1, 1480, 5325},
          {"ellipsoid", testing::ellipsoid, 3, 1, 4020, 48465},
          {"cigar", testing::cigar, 3, 1, 4000, 16125},
          {"discus", testing::discus, 3, 1, 3070, 20505},
          {"different powers", testing::different_powers, 3, 1, 1710, 13200},
          {"Rosenbrock", testing::rosenbrock, 0, 0.5, 5020, 60652}};
}

/// Medians within 15 % of pycma's, every run successful but on Rosenbrock, where the local optimum catches
/// about one in ten: 22 of 25.
void check_table(int64_t n, int seeds) {
  for (const Row& row : table()) {
    const double pycma = n == 10 ? row.pycma_10 : row.pycma_40;
    const Outcome outcome =
        run(cma_es(row.sigma), row.objective, n, row.start, seeds, static_cast<int64_t>(5 * pycma));
    const std::string text = format_text("{} at n = {}: median {} against {}, {} of {} runs", row.name, n,
                                         outcome.median, pycma, outcome.reached, seeds);
    std::cout << text << "\n";
    SCOPED_TRACE(text);
    expect_near_pycma(outcome.median, pycma);
    EXPECT_GE(outcome.reached, row.name == std::string("Rosenbrock") ? seeds * 22 / 25 : seeds);
  }
}

TEST(Budget, TableInTenDimensions) {
  check_table(10, is_long_run() ? 25 : 11);
}

TEST(Budget, TableInFortyDimensions) {
  if (!is_long_run()) {
    GTEST_SKIP() << "minutes: evolution_budget_test_long, label slow";
  }
  check_table(40, 25);
}

TEST(Budget, SphereInFortyDimensions) {
  expect_near_pycma(run(cma_es(), testing::sphere, 40, 3, 5, 30000).median, 5325);
}

/// Public report evolution-03: plain and rotated in similar counts.
TEST(Budget, EllipsoidPlainAndRotated) {
  const int seeds = is_long_run() ? 25 : 3;
  expect_near_pycma(
      run(cma_es(), testing::rotated(testing::ellipsoid, testing::rotation(10, 1)), 10, 3, 11, 30000).median,
      4130);
  const int64_t plain = run(cma_es(), testing::ellipsoid, 40, 3, seeds, 100000).median;
  const int64_t rotated =
      run(cma_es(), testing::rotated(testing::ellipsoid, testing::rotation(40, 1)), 40, 3, seeds, 100000)
          .median;
  expect_near_pycma(plain, 48465);
  expect_near_pycma(rotated, 48810);
  EXPECT_NEAR(static_cast<double>(rotated) / static_cast<double>(plain), 1, 0.05);
}

/// Linear learning where scales are all there is to learn, none where they are hidden by a rotation.
TEST(Budget, SeparableVariantOnTheRotatedEllipsoid) {
  OptimizerConfig config = cma_es();
  config.kind = "sep-cma-es";
  const int64_t n = is_long_run() ? 40 : 10;
  const int64_t full = is_long_run() ? 48810 : 4130;
  EXPECT_LT(run(config, testing::ellipsoid, n, 3, 3, full).median, is_long_run() ? full / 3 : full);
  const auto rotated = testing::rotated(testing::ellipsoid, testing::rotation(n, 1));
  EXPECT_EQ(run(config, rotated, n, 3, 3, 5 * full).reached, 0);
}

/// The published code on the same starts, by evolution 4: about 1490, 4370 and 5320 evaluations at n = 10.
TEST(Budget, ParityMatchesThePublishedCode) {
  OptimizerConfig config = cma_es();
  config.parity = true;
  expect_near_pycma(run(config, testing::sphere, 10, 3, 11, 10000).median, 1490);
  expect_near_pycma(run(config, testing::ellipsoid, 10, 3, 11, 30000).median, 4370);
}

}  // namespace
}  // namespace namm::evolution
