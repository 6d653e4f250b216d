#include "evolution/optimizers/cma_es.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "tests/evolution/support/objectives.h"
#include "tests/support/tolerances.h"

namespace namm::evolution {
namespace {

using testing::fitness_of;

double relative(double value, double expected) {
  return std::abs(value - expected) / std::abs(expected);
}

CmaEs<double> standard(int64_t n, int64_t population, double sigma, double start = 0, uint64_t seed = 1) {
  return CmaEs<double>({population, sigma, 0.5, false}, std::vector<double>(n, start), seed);
}

/// The values that pycma prints for lambda 12, n 20 (evolution 4).
TEST(CmaConstants, WeightsOfPopulationTwelveInTwentyDimensions) {
  const CmaConstants constants = cma_constants(20, 12, 0.5, false);
  const std::vector<double> expected = {0.402403,  0.253389,  0.166222,  0.104375,  0.056403,  0.017208,
                                        -0.050187, -0.140617, -0.220381, -0.291733, -0.356279, -0.415204};
  ASSERT_EQ(constants.weights.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(constants.weights[i], expected[i], 1e-6) << i;
  }
  EXPECT_NEAR(constants.c_1, 0.00437235, 1e-8);
  EXPECT_NEAR(constants.c_mu, 0.00921656, 1e-8);
  EXPECT_NEAR(constants.c_c, 0.17176721, 1e-8);
}

TEST(CmaConstants, ConstantsOfTheStandardTableForPopulationThirtyTwo) {
  const CmaConstants constants = cma_constants(5000, 32, 0.5, false);
  EXPECT_NEAR(constants.mu_eff, 9.1788, 1e-4);
  EXPECT_NEAR(constants.mu_eff_negative, 12.6769, 1e-4);
  EXPECT_NEAR(1 / (constants.c_1 + constants.c_mu), 1.47e6, 1e4);
  EXPECT_NEAR(constants.eigen_gap, 29.3, 0.1);
  EXPECT_NEAR(1 / constants.c_sigma, 448, 1);
}

/// namm-semantics 7.1.
TEST(CmaConstants, ParityConstantsOfThePublishedSetting) {
  const CmaConstants constants = cma_constants(4172, 32, 0.5, true);
  const double limit = tolerances::cma::constants;
  EXPECT_EQ(constants.parents, 16);
  EXPECT_LT(relative(constants.mu_eff, 9.17883), limit);
  EXPECT_LT(relative(constants.mu_eff_negative, 12.67685), limit);
  EXPECT_LT(relative(constants.c_1, 1.148340e-7), limit);
  EXPECT_LT(relative(constants.c_mu, 8.366038e-7), limit);
  EXPECT_LT(relative(constants.c_sigma, 2.670414e-3), limit);
  EXPECT_LT(relative(constants.d_sigma, 1.002670), limit);
  EXPECT_LT(relative(constants.c_c, 9.583802e-4), limit);
  EXPECT_LT(relative(constants.chi, 64.587151), limit);
  EXPECT_NEAR(constants.weight_sum, -0.137262, 1e-6);
  EXPECT_NEAR(constants.weights.front(), 0.19767, 1e-5);
  EXPECT_NEAR(constants.weights.back(), -0.12488, 1e-5);
}

/// Public report evolution-03: defaults at n = 4172. Its mu_eff and c_mu (without the newer 1/4) come from
/// raw weights ln(mu + 1/2) - ln i; with ln((lambda + 1)/2), which both the published code and pycma use,
/// they belong to population 28 and an odd population has a middle member of weight zero.
TEST(CmaConstants, DefaultsAtFourThousandParameters) {
  const int64_t population = 4 + static_cast<int64_t>(3 * std::log(4172.0));
  EXPECT_EQ(population, 29);
  const CmaConstants odd = cma_constants(4172, population, 0.5, true);
  EXPECT_EQ(odd.parents, 14);
  EXPECT_EQ(odd.weights[14], 0);
  EXPECT_LT(relative(odd.c_1, 1.14834e-07), 1e-5);
  const CmaConstants even = cma_constants(4172, 28, 0.5, true);
  EXPECT_EQ(even.parents, 14);
  EXPECT_NEAR(even.mu_eff, 8.10586, 1e-5);
  EXPECT_LT(relative(even.c_mu, 7.15087e-07), 1e-5);
  CmaEs<double> optimizer({28, 0.065, 0.5, false}, std::vector<double>(4172), 1);
  EXPECT_EQ(optimizer.covariance().size() * sizeof(double), 139244672u);
}

TEST(CmaConstants, SmallElitesStillSumToOne) {
  for (const bool parity : {false, true}) {
    const CmaConstants constants = cma_constants(30, 16, 0.25, parity);
    double positive = 0;
    for (int64_t i = 0; i < constants.parents; ++i) {
      positive += constants.weights[i];
    }
    EXPECT_EQ(constants.parents, 4);
    EXPECT_NEAR(positive, 1, 1e-12);
    EXPECT_EQ(constants.weights[5], 0);
    EXPECT_LT(constants.weights[15], 0);
  }
}

TEST(CmaConstants, SmallestSizesAreFinite) {
  for (const bool parity : {false, true}) {
    for (const int64_t n : {1, 2, 3}) {
      for (const int64_t population : {2, 3, 4}) {
        const CmaConstants constants = cma_constants(n, population, 0.5, parity);
        for (const double weight : constants.weights) {
          EXPECT_TRUE(std::isfinite(weight)) << n << " " << population;
        }
        EXPECT_TRUE(std::isfinite(constants.d_sigma));
      }
    }
  }
}

/// Appendix A.4 of namm-semantics. The text starts from C = I without the first generation's shift, whose
/// effect on C^{-1/2} is 5e-7: the tolerance covers it.
template <class Real>
void check_appendix(double tolerance) {
  CmaEs<Real> optimizer({4, 0.5, 0.5, true}, std::vector<double>{0, 0}, 1);
  const CmaConstants& constants = optimizer.constants();
  EXPECT_NEAR(constants.mu_eff, 1.459789889, 1e-9);
  EXPECT_NEAR(constants.mu_eff_negative, 1.674354728, 1e-9);
  EXPECT_NEAR(constants.c_1, 0.161946075, 1e-9);
  EXPECT_NEAR(constants.c_mu, 0.016588972, 1e-9);
  EXPECT_NEAR(constants.c_sigma, 0.408968773, 1e-9);
  EXPECT_NEAR(constants.d_sigma, 1.408968773, 1e-9);
  EXPECT_NEAR(constants.c_c, 0.634052033, 1e-9);
  EXPECT_NEAR(constants.chi, 1.254272743, 1e-9);
  const std::vector<double> weights = {0.804162860, 0.195837140, -0.550016285, -1.417877594};
  for (std::size_t i = 0; i < weights.size(); ++i) {
    EXPECT_NEAR(constants.weights[i], weights[i], 1e-9);
  }
  optimizer.ask_with_steps(std::vector<double>{1, -0.5, 0.2, 0.8, -1.2, 0.3, 0.4, -0.9});
  optimizer.tell(std::vector<double>{0.3, 0.9, 0.1, 0.5});
  EXPECT_NEAR(optimizer.mean()[0], 0.119583714, tolerance);
  EXPECT_NEAR(optimizer.mean()[1], 0.233538431, tolerance);
  EXPECT_NEAR(optimizer.sigma(), 0.421028180, tolerance);
  EXPECT_TRUE(optimizer.last_h());
  EXPECT_NEAR(optimizer.path_sigma()[0], 0.233094290, tolerance);
  EXPECT_NEAR(optimizer.path_sigma()[1], 0.455216458, tolerance);
  EXPECT_NEAR(optimizer.path_c()[0], 0.268922250, tolerance);
  EXPECT_NEAR(optimizer.path_c()[1], 0.525185899, tolerance);
  const std::vector<double> covariance = optimizer.covariance();
  EXPECT_NEAR(covariance[0], 0.808001705, 4 * tolerance);
  EXPECT_NEAR(covariance[1], 0.042205344, 4 * tolerance);
  EXPECT_NEAR(covariance[3], 0.903530646, 4 * tolerance);
}

TEST(CmaEs, ReproducesTheAppendix) {
  check_appendix<double>(1e-6);
  check_appendix<float>(1e-6);
}

TEST(CmaEs, DrawsDependOnSeedGenerationAndMemberOnly) {
  auto first = standard(5, 8, 0.3, 0, 0), again = standard(5, 8, 0.3, 0, 0),
       other = standard(5, 8, 0.3, 0, 1);
  EXPECT_EQ(first.ask(), again.ask());
  EXPECT_EQ(first.ask(), first.ask());
  EXPECT_NE(first.ask(), other.ask());
}

/// Public report evolution-05: two optimisers stepped alternately do what each does alone.
TEST(CmaEs, OptimizersDoNotDisturbEachOther) {
  auto a = standard(6, 8, 0.5, 1, 3), b = standard(6, 8, 0.5, 1, 4);
  auto a_alone = standard(6, 8, 0.5, 1, 3), b_alone = standard(6, 8, 0.5, 1, 4);
  for (int step = 0; step < 20; ++step) {
    a.tell(fitness_of(testing::sphere, a.ask(), 6));
    b.tell(fitness_of(testing::ellipsoid, b.ask(), 6));
  }
  for (int step = 0; step < 20; ++step) {
    a_alone.tell(fitness_of(testing::sphere, a_alone.ask(), 6));
  }
  for (int step = 0; step < 20; ++step) {
    b_alone.tell(fitness_of(testing::ellipsoid, b_alone.ask(), 6));
  }
  EXPECT_EQ(a.state().arrays, a_alone.state().arrays);
  EXPECT_EQ(b.state().arrays, b_alone.state().arrays);
}

/// Public report evolution-02, first half.
TEST(CmaEs, FlatFitnessFarAwayStaysFinite) {
  auto optimizer = standard(4, 8, 1e-12, 1e120);
  for (int generation = 0; generation < 500; ++generation) {
    for (const double value : optimizer.ask()) {
      ASSERT_TRUE(std::isfinite(value));
    }
    optimizer.tell(std::vector<double>(8, 1.0));
    ASSERT_TRUE(!optimizer.stop() || optimizer.stop()->find("non-finite") == 0) << *optimizer.stop();
    ASSERT_TRUE(std::isfinite(optimizer.sigma()) && optimizer.sigma() > 0);
    for (const double value : optimizer.covariance()) {
      ASSERT_TRUE(std::isfinite(value));
    }
  }
  EXPECT_EQ(optimizer.mean()[0], 1e120);
}

/// Public report evolution-02, second half: C with eigenvalues -1e-5, 0.5, 1, 2.
TEST(CmaEs, IndefiniteCovarianceIsRepairedAndCounted) {
  auto optimizer = standard(4, 8, 0.5);
  optimizer.tell(fitness_of(testing::sphere, optimizer.ask(), 4));
  const std::vector<double> q = testing::rotation(4, 7);
  const double eigenvalues[] = {-1e-5, 0.5, 1, 2};
  OptimizerState state = optimizer.state();
  for (NamedArray& array : state.arrays) {
    if (array.name != "covariance_lower") {
      continue;
    }
    std::vector<double> lower;
    for (int column = 0; column < 4; ++column) {
      for (int row = column; row < 4; ++row) {
        double sum = 0;
        for (int k = 0; k < 4; ++k) {
          sum += q[k * 4 + row] * eigenvalues[k] * q[k * 4 + column];
        }
        lower.push_back(sum);
      }
    }
    array.values = lower;
  }
  optimizer.restore(state);
  for (const double value : optimizer.ask()) {
    EXPECT_TRUE(std::isfinite(value));
  }
  EXPECT_EQ(optimizer.eigen_repairs(), 1);
  EXPECT_GT(optimizer.roots().front(), 0);
  for (int generation = 0; generation < 50; ++generation) {
    optimizer.tell(fitness_of(testing::sphere, optimizer.ask(), 4));
  }
  EXPECT_FALSE(optimizer.stop());
  EXPECT_GT(optimizer.roots().front(), 0);
}

TEST(CmaEs, OverflowStopsByNameAndKeepsTheLastGoodMean) {
  auto optimizer = standard(3, 6, 1e308, 1e308);
  std::optional<std::string> reason;
  for (int generation = 0; generation < 50 && !reason; ++generation) {
    optimizer.tell(fitness_of(testing::sphere, optimizer.ask(), 3));
    optimizer.tell({{6, 5, 4, 3, 2, 1}});
    reason = optimizer.stop();
  }
  ASSERT_TRUE(reason);
  EXPECT_NE(reason->find("non-finite state"), std::string::npos);
  for (const double value : optimizer.mean()) {
    EXPECT_TRUE(std::isfinite(value));
  }
}

TEST(CmaEs, StepSizeChangesAtMostByE) {
  auto optimizer = standard(2, 200, 1e-6, 1e3);
  double largest = 0;
  for (int generation = 0; generation < 40; ++generation) {
    const double before = optimizer.sigma();
    optimizer.tell(fitness_of(testing::sphere, optimizer.ask(), 2));
    largest = std::max(largest, std::abs(std::log(optimizer.sigma() / before)));
  }
  EXPECT_LE(largest, 1 + 1e-12);
  EXPECT_GT(largest, 0.9) << "the cap was never reached: the test shows nothing";
  EXPECT_TRUE(optimizer.alarm());
  EXPECT_FALSE(optimizer.stop());
}

/// evolution 1: rate and gap at n = 300 give a decomposition about every second generation.
TEST(CmaEs, DecomposesLazilyAndStillCountsTheIdentityAsKnown) {
  auto optimizer = standard(300, 16, 0.3, 1);
  const double gap = optimizer.constants().eigen_gap;
  ASSERT_GT(gap, 1);
  const int generations = 40;
  for (int generation = 0; generation < generations; ++generation) {
    optimizer.tell(fitness_of(testing::sphere, optimizer.ask(), 300));
  }
  const auto expected = static_cast<int64_t>((generations - 1) / std::ceil(gap));
  EXPECT_EQ(optimizer.decompositions(), expected);
}

/// The old eigensystem between decompositions is part of the state.
TEST(CmaEs, LazyEigensystemSurvivesSaveAndRestore) {
  auto optimizer = standard(300, 16, 0.3, 1);
  bool between = false;
  for (int generation = 0; generation < 12; ++generation) {
    auto copy = standard(300, 16, 0.1);
    copy.restore(optimizer.state());
    between = between || has_array(optimizer.state().arrays, "eigenvectors");
    ASSERT_EQ(copy.ask(), optimizer.ask()) << generation;
    const auto fitness = fitness_of(testing::ellipsoid, optimizer.ask(), 300);
    optimizer.tell(fitness);
    copy.tell(fitness);
    ASSERT_EQ(copy.state().arrays, optimizer.state().arrays) << generation;
  }
  EXPECT_TRUE(between);
}

/// The trajectory turns with the problem: identity start, fixed rotation, same whitened draws.
TEST(CmaEs, IsInvariantUnderRotationAndShift) {
  const int64_t n = 8, population = 10;
  const std::vector<double> q = testing::rotation(n, 5);
  auto plain = standard(n, population, 0.4, 0);
  std::vector<double> shifted_start(n, 3.0);
  CmaEs<double> turned({population, 0.4, 0.5, false}, shifted_start, 1);
  const auto turn = [&](std::span<const double> x) {
    std::vector<double> y(static_cast<std::size_t>(n));
    for (int64_t r = 0; r < n; ++r) {
      for (int64_t i = 0; i < n; ++i) {
        y[r] += q[r * n + i] * x[i];
      }
    }
    return y;
  };
  for (int generation = 0; generation < 30; ++generation) {
    std::vector<double> u, turned_u;
    for (int64_t member = 0; member < population; ++member) {
      RandomStream stream({.seed = 9,
                           .purpose = "test",
                           .generation = static_cast<uint64_t>(generation),
                           .member = static_cast<uint64_t>(member)});
      std::vector<double> draw;
      for (int64_t i = 0; i < n; ++i) {
        draw.push_back(stream.normal());
      }
      u.insert(u.end(), draw.begin(), draw.end());
      const std::vector<double> turned_draw = turn(draw);
      turned_u.insert(turned_u.end(), turned_draw.begin(), turned_draw.end());
    }
    const std::vector<double> x = plain.ask_from(u, CmaEs<double>::Root::symmetric);
    turned.ask_from(turned_u, CmaEs<double>::Root::symmetric);
    std::vector<double> distance = x;
    for (double& value : distance) {
      value -= 1;
    }
    const std::vector<double> fitness = fitness_of(testing::ellipsoid, distance, n);
    plain.tell(fitness);
    turned.tell(fitness);
  }
  const std::vector<double> expected = turn(plain.mean());
  for (int64_t i = 0; i < n; ++i) {
    EXPECT_NEAR(turned.mean()[i] - 3, expected[i], 1e-9);
  }
  EXPECT_NEAR(turned.sigma(), plain.sigma(), 1e-9);
}

/// Random ranking: no trend of the step size on average, C stays positive definite (evolution 4).
TEST(CmaEs, RandomRankingKeepsStepSizeAndPositiveDefiniteness) {
  const int64_t n = 20, population = 12;
  const int runs = 4, generations = 500;
  double drift = 0;
  for (int run = 0; run < runs; ++run) {
    auto optimizer = standard(n, population, 1, 0, 100 + run);
    RandomStream stream({.seed = static_cast<uint64_t>(run), .purpose = "ranking"});
    for (int generation = 0; generation < generations; ++generation) {
      optimizer.ask();
      std::vector<double> fitness;
      for (int64_t member = 0; member < population; ++member) {
        fitness.push_back(stream.uniform());
      }
      optimizer.tell(fitness);
      ASSERT_GT(optimizer.roots().front(), 0);
    }
    EXPECT_EQ(optimizer.eigen_repairs(), 0);
    drift += std::log(optimizer.sigma()) / runs;
  }
  // One run's log sigma has a standard deviation of about 0.85 after 500 generations.
  EXPECT_LT(std::abs(drift), 4 * 0.85 / std::sqrt(runs));
}

TEST(CmaEs, RestoreRefusesOtherKindsAndSizes) {
  auto optimizer = standard(5, 8, 0.3);
  CmaEs<float> parity({8, 0.3, 0.5, true}, std::vector<double>(5), 1);
  EXPECT_THROW(optimizer.restore(parity.state()), DataError);
  EXPECT_THROW(optimizer.restore(standard(6, 8, 0.3).state()), DataError);
  EXPECT_THROW(optimizer.restore(standard(5, 10, 0.3).state()), DataError);
  OptimizerState missing = optimizer.state();
  missing.arrays.pop_back();
  EXPECT_THROW(optimizer.restore(missing), DataError);
}

}  // namespace
}  // namespace namm::evolution
