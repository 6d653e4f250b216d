#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <ostream>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "evolution/optimizer_list.h"
#include "tests/evolution/support/objectives.h"

/// What every optimiser of the list must do.
namespace namm::evolution {
namespace {

using testing::fitness_of;

struct Case {
  std::string name;
  OptimizerConfig config;
};

void PrintTo(const Case& value, std::ostream* out) {
  *out << value.name;
}

std::vector<Case> cases() {
  std::vector<Case> list;
  for (const std::string& kind : optimizer_names()) {
    OptimizerConfig config;
    config.kind = kind;
    config.population = 12;
    config.sigma = 0.5;
    list.push_back({kind, config});
  }
  OptimizerConfig parity = list.front().config;
  parity.kind = "cma-es";
  parity.parity = true;
  list.push_back({"cma-es, parity", parity});
  OptimizerConfig around = list.front().config;
  around.kind = "cma-es";
  around.termination = true;
  list.push_back({"cma-es, termination", around});
  around.restarts = "bipop";
  around.restart_radius = 2;
  around.max_restarts = 3;
  list.push_back({"cma-es, bipop", around});
  around.kind = "cr-fm-nes";
  around.restarts = "ipop";
  around.average_mean = 3;
  around.reevaluations = 4;
  list.push_back({"cr-fm-nes, all around it", around});
  around = list.front().config;
  around.kind = "sep-cma-es";
  around.average_mean = 5;
  list.push_back({"sep-cma-es, averaged", around});
  around.average_mean = 0;
  around.reevaluations = 12;
  list.push_back({"sep-cma-es, all evaluated again", around});
  return list;
}

class EveryOptimizer : public ::testing::TestWithParam<Case> {
 protected:
  static constexpr int64_t n = 14;
  std::unique_ptr<Optimizer> make(uint64_t seed = 1) const {
    return make_optimizer(GetParam().config, std::vector<double>(n, 1.5), seed);
  }
  /// Tolerances speak of values, not of ranks alone.
  static bool compares_values() {
    return GetParam().config.termination || GetParam().config.restarts != "none";
  }
  static void step(Optimizer& optimizer) {
    optimizer.tell(fitness_of(testing::ellipsoid, optimizer.ask(), n));
  }
};

TEST_P(EveryOptimizer, SaysWhatItIs) {
  const auto optimizer = make();
  EXPECT_EQ(optimizer->dimension(), n);
  EXPECT_EQ(optimizer->population(), 12);
  EXPECT_EQ(optimizer->generation(), 0);
  EXPECT_EQ(optimizer->kind(), GetParam().config.kind);
  EXPECT_FLOAT_EQ(static_cast<float>(optimizer->sigma()), 0.5f);
  EXPECT_EQ(std::vector<double>(optimizer->mean().begin(), optimizer->mean().end()),
            std::vector<double>(n, 1.5));
  EXPECT_EQ(optimizer->ask().size(), static_cast<std::size_t>(12 * n));
  EXPECT_FALSE(optimizer->stop());
  EXPECT_FALSE(optimizer->alarm());
}

TEST_P(EveryOptimizer, RepeatsWithTheSameSeedAndOnlyThen) {
  const auto first = make(0), second = make(0), other = make(7);
  EXPECT_EQ(first->ask(), second->ask());
  for (int generation = 0; generation < 30; ++generation) {
    step(*first);
    step(*second);
    step(*other);
  }
  EXPECT_EQ(first->state().arrays, second->state().arrays);
  EXPECT_NE(first->state().arrays, other->state().arrays);
}

TEST_P(EveryOptimizer, AskingAgainChangesNothing) {
  const auto once = make(), often = make();
  for (int generation = 0; generation < 10; ++generation) {
    often->ask();
    often->state();
    EXPECT_EQ(once->ask(), often->ask());
    step(*once);
    step(*often);
  }
  EXPECT_EQ(once->state().arrays, often->state().arrays);
}

TEST_P(EveryOptimizer, ContinuesBitForBitAfterSaveAndRestore) {
  const auto original = make();
  for (int generation = 0; generation < 23; ++generation) {
    step(*original);
  }
  const OptimizerState saved = original->state();
  // Another seed: the state brings its own.
  const auto restored = make(99);
  restored->restore(saved);
  EXPECT_EQ(restored->state().arrays, saved.arrays);
  EXPECT_EQ(restored->generation(), 23);
  for (int generation = 0; generation < 50; ++generation) {
    ASSERT_EQ(restored->ask(), original->ask()) << generation;
    step(*original);
    step(*restored);
  }
  EXPECT_EQ(restored->state().arrays, original->state().arrays);
}

/// A state saved between ask and tell is the state before the ask.
TEST_P(EveryOptimizer, ToldWithoutAskingAgainAfterRestore) {
  const auto original = make();
  step(*original);
  const std::vector<double> fitness = fitness_of(testing::sphere, original->ask(), n);
  const auto restored = make();
  restored->restore(original->state());
  original->tell(fitness);
  restored->tell(fitness);
  EXPECT_EQ(restored->state().arrays, original->state().arrays);
}

TEST_P(EveryOptimizer, SeesRanksOnly) {
  if (compares_values()) {
    return;
  }
  const auto plain = make(), bent = make();
  for (int generation = 0; generation < 25; ++generation) {
    const std::vector<double> fitness = fitness_of(testing::sphere, plain->ask(), n);
    std::vector<double> changed;
    for (const double value : fitness) {
      changed.push_back(-std::exp(-value / 100) + 17);
    }
    plain->tell(fitness);
    bent->tell(changed);
  }
  EXPECT_EQ(plain->state().arrays, bent->state().arrays);
}

TEST_P(EveryOptimizer, NonFiniteFitnessRanksLastByMember) {
  if (compares_values()) {
    return;
  }
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  const auto broken = make(), lowest = make();
  std::vector<double> fitness = fitness_of(testing::sphere, broken->ask(), n);
  fitness[2] = nan;
  fitness[5] = infinity;
  fitness[9] = -infinity;
  const TellReport report = broken->tell(fitness);
  EXPECT_TRUE(report.updated);
  EXPECT_EQ(report.non_finite, 3);
  // The same ranking written with finite numbers.
  fitness[2] = -1e30;
  fitness[5] = -1e30;
  fitness[9] = -1e30;
  lowest->ask();
  lowest->tell(fitness);
  EXPECT_EQ(broken->state().arrays, lowest->state().arrays);
}

TEST_P(EveryOptimizer, GenerationWithoutFiniteFitnessChangesNothing) {
  const auto optimizer = make();
  step(*optimizer);
  optimizer->ask();
  const NamedArrays before = optimizer->state().arrays;
  const int64_t population = optimizer->population();
  const TellReport report =
      optimizer->tell(std::vector<double>(population, std::numeric_limits<double>::quiet_NaN()));
  EXPECT_FALSE(report.updated);
  EXPECT_EQ(report.non_finite, population);
  EXPECT_EQ(optimizer->generation(), 2);
  for (const NamedArray& array : optimizer->state().arrays) {
    const auto old =
        std::find_if(before.begin(), before.end(), [&](const NamedArray& a) { return a.name == array.name; });
    ASSERT_NE(old, before.end()) << array.name;
    // Counts of evaluations go on, too.
    if (array.name != "generation" && array.name != "restart_counts") {
      EXPECT_EQ(array, *old) << array.name;
    }
  }
}

/// Random search adapts nothing: of it the answer that never gets worse is asked.
TEST_P(EveryOptimizer, FindsTheSphere) {
  const auto optimizer = make();
  if (optimizer->kind() == "random-search") {
    double before = testing::sphere(optimizer->mean());
    const double first = before;
    for (int generation = 0; generation < 100; ++generation) {
      optimizer->tell(fitness_of(testing::sphere, optimizer->ask(), n));
      const double after = testing::sphere(optimizer->mean());
      EXPECT_LE(after, before);
      before = after;
    }
    EXPECT_LT(before, 0.8 * first);
    return;
  }
  // Parity works in float32: the mean still gets within rounding of the optimum.
  EXPECT_GT(testing::evaluations_to(*optimizer, testing::sphere, 1e-10, 20000), 0);
}

/// From a start a million step sizes away, where the step size has every reason to run. The published code
/// has no cap, and a restart begins anew.
TEST_P(EveryOptimizer, StepSizeChangesAtMostByE) {
  if (GetParam().config.parity || GetParam().config.restarts != "none") {
    return;
  }
  OptimizerConfig config = GetParam().config;
  config.sigma = 1e-6;
  const auto optimizer = make_optimizer(config, std::vector<double>(n, 1.0), 1);
  for (int generation = 0; generation < 100; ++generation) {
    const double before = optimizer->sigma();
    optimizer->tell(fitness_of(testing::sphere, optimizer->ask(), n));
    ASSERT_LE(std::abs(std::log(optimizer->sigma() / before)), 1 + 1e-12) << generation;
  }
  EXPECT_GE(optimizer->sigma(), 1e-6);
}

TEST_P(EveryOptimizer, FlatFitnessStaysFinite) {
  const auto optimizer = make();
  for (int generation = 0; generation < 300; ++generation) {
    for (const double value : optimizer->ask()) {
      ASSERT_TRUE(std::isfinite(value)) << generation;
    }
    optimizer->tell(std::vector<double>(optimizer->population(), 1.0));
  }
}

/// Public report evolution-02: rounding must not make NaN of a state that cannot move.
TEST_P(EveryOptimizer, FlatFitnessFarAwayStaysFinite) {
  OptimizerConfig config = GetParam().config;
  config.sigma = 1e-12;
  config.population = 8;
  config.reevaluations = std::min<int64_t>(config.reevaluations, 8);
  const double far = config.parity ? 1e30 : 1e120;  // parity is float32
  const auto optimizer = make_optimizer(config, std::vector<double>(4, far), 1);
  for (int generation = 0; generation < 500; ++generation) {
    for (const double value : optimizer->ask()) {
      ASSERT_TRUE(std::isfinite(value)) << generation;
    }
    optimizer->tell(std::vector<double>(optimizer->population(), 1.0));
    ASSERT_TRUE(std::isfinite(optimizer->sigma()) && optimizer->sigma() > 0) << generation;
  }
  EXPECT_NEAR(optimizer->mean()[0] / far, 1, 1e-6);
}

TEST_P(EveryOptimizer, RefusesForeignInput) {
  const auto optimizer = make();
  EXPECT_THROW(optimizer->tell(std::vector<double>(11, 1.0)), std::invalid_argument);
  OptimizerState state = optimizer->state();
  state.kind = "simulated annealing";
  EXPECT_THROW(optimizer->restore(state), DataError);
  EXPECT_THROW(optimizer->restore({optimizer->kind(), {}}), DataError);
  for (const NamedArray& array : optimizer->state().arrays) {
    OptimizerState torn = optimizer->state();
    for (NamedArray& candidate : torn.arrays) {
      if (candidate.name == array.name) {
        candidate.values = std::vector<double>{1, 2, 3};
        candidate.shape = {3};
      }
    }
    EXPECT_THROW(optimizer->restore(torn), DataError) << array.name;
  }
}

/// "cma-es" and "cma-es, averaged" have much in common; neither takes the other's state.
TEST_P(EveryOptimizer, RefusesTheStatesOfAllOthers) {
  for (const Case& other : cases()) {
    const auto saved = make_optimizer(other.config, std::vector<double>(n, 1.5), 1)->state();
    if (other.name == GetParam().name) {
      EXPECT_NO_THROW(make()->restore(saved));
    } else {
      EXPECT_THROW(make()->restore(saved), DataError) << other.name;
    }
  }
}

/// What tolerances look at is what members are drawn from: the spread of many draws from one state.
TEST_P(EveryOptimizer, DrawsFromTheDistributionItNames) {
  if (GetParam().config.kind == "lm-ma-es") {
    return;  // knows its step size only
  }
  const auto optimizer = make();
  for (int generation = 0; generation < 40; ++generation) {
    step(*optimizer);
  }
  const SearchDistribution distribution = optimizer->distribution(3);
  OptimizerState state = optimizer->state();
  const int64_t drawn = 12;  // the inner population; members that are asked again come behind it
  std::vector<double> first(n), squares(n);
  const int repetitions = 400;
  for (int64_t seed = 0; seed < repetitions; ++seed) {
    for (NamedArray& array : state.arrays) {
      if (array.name == "seed") {
        array.values = std::vector<int64_t>{1000 + seed};
      }
    }
    optimizer->restore(state);
    const std::vector<double> x = optimizer->ask();
    // Member 0 of random search is its answer.
    for (int64_t member = 1; member < drawn; ++member) {
      for (int64_t i = 0; i < n; ++i) {
        first[i] += x[member * n + i] / (repetitions * (drawn - 1));
        squares[i] += x[member * n + i] * x[member * n + i] / (repetitions * (drawn - 1));
      }
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    const double deviation = std::sqrt(squares[i] - first[i] * first[i]);
    // Between decompositions C is a little ahead of what is drawn.
    EXPECT_NEAR(deviation / distribution.deviations[i], 1, 0.1) << i;
  }
  if (!distribution.axis.empty()) {
    double length = 0;
    for (const double value : distribution.axis) {
      length += value * value;
    }
    const double widest = *std::max_element(distribution.deviations.begin(), distribution.deviations.end());
    EXPECT_GT(length, 0);
    EXPECT_LT(std::sqrt(length), 1.2 * std::sqrt(static_cast<double>(n)) * widest);
  }
  EXPECT_GE(distribution.condition, 1);
}

TEST_P(EveryOptimizer, ScalesItsStepSize) {
  const auto plain = make(), scaled = make();
  step(*plain);
  step(*scaled);
  scaled->scale_sigma(2);
  EXPECT_EQ(scaled->sigma(), 2 * plain->sigma());
  const std::vector<double> x = plain->ask(), y = scaled->ask();
  std::vector<double> mean(n);
  for (int64_t i = 0; i < n; ++i) {
    // Mean of the search: of the draws, since a wrapper's answer may be another.
    mean[i] = 2 * x[n + i] - y[n + i];
  }
  for (int64_t member = 1; member < 12; ++member) {
    for (int64_t i = 0; i < n; ++i) {
      EXPECT_NEAR(y[member * n + i] - mean[i], 2 * (x[member * n + i] - mean[i]), 1e-5);
    }
  }
}

TEST_P(EveryOptimizer, AlarmsWhenTheStepSizeHasGone) {
  const auto optimizer = make();
  OptimizerState state = optimizer->state();
  for (NamedArray& array : state.arrays) {
    if (array.name == "sigma") {
      array.values = std::vector<double>{600.0};
    }
  }
  optimizer->restore(state);
  ASSERT_TRUE(optimizer->alarm());
  EXPECT_NE(optimizer->alarm()->find("step size"), std::string::npos);
  EXPECT_FALSE(optimizer->stop());
}

INSTANTIATE_TEST_SUITE_P(List, EveryOptimizer, ::testing::ValuesIn(cases()), [](const auto& parameter) {
  std::string name = parameter.param.name;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

TEST(RankMembers, BestFirstTiesByMemberNonFiniteLast) {
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(rank_members(std::vector<double>{1, nan, 3, 1, infinity, 3}),
            (std::vector<int64_t>{2, 5, 0, 3, 1, 4}));
}

}  // namespace
}  // namespace namm::evolution
