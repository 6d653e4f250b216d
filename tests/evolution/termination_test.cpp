#include "evolution/optimizers/termination.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "evolution/optimizer_list.h"
#include "evolution/optimizers/cma_es.h"
#include "tests/evolution/support/objectives.h"

namespace namm::evolution {
namespace {

/// An inner optimiser whose distribution a test sets.
class Puppet final : public Optimizer {
 public:
  static constexpr int64_t n = 4;
  std::vector<double> at = std::vector<double>(n, 1.0);
  SearchDistribution spread{std::vector<double>(n, 0.5), std::vector<double>(n, 0.5), {}, 1};
  int64_t generations = 0;

  std::string kind() const override { return "puppet"; }
  int64_t dimension() const override { return n; }
  int64_t population() const override { return 6; }
  int64_t generation() const override { return generations; }
  double sigma() const override { return 0.5; }
  std::span<const double> mean() const override { return at; }
  std::vector<double> ask() override { return std::vector<double>(6 * n); }
  TellReport tell(std::span<const double>) override {
    ++generations;
    return {};
  }
  OptimizerState state() const override { return {"puppet", {}}; }
  void restore(const OptimizerState&) override {}
  std::optional<std::string> stop() const override { return std::nullopt; }
  std::optional<std::string> alarm() const override { return std::nullopt; }
  SearchDistribution distribution(int64_t) const override { return spread; }
  void scale_sigma(double) override {}
};

struct Subject {
  Puppet* puppet = new Puppet;
  TerminatingOptimizer optimizer{std::unique_ptr<Optimizer>(puppet)};

  /// The name of the reason after a generation of these costs; "" while it runs.
  std::string tell(const std::vector<double>& costs) {
    std::vector<double> fitness;
    for (const double cost : costs) {
      fitness.push_back(-cost);
    }
    optimizer.tell(fitness);
    const std::string reason = optimizer.stop().value_or("");
    return reason.substr(0, reason.find(':'));
  }
  std::string tell_falling(double from) {
    return tell({from, from + 1, from + 2, from + 3, from + 4, from + 5});
  }
};

TEST(Termination, GoesOnWhileValuesFall) {
  Subject subject;
  for (int generation = 0; generation < 500; ++generation) {
    EXPECT_EQ(subject.tell_falling(1000.0 - generation), "");
  }
}

TEST(Termination, TolfunNeedsGenerationAndHistoryWithinTheTolerance) {
  Subject subject;
  EXPECT_EQ(subject.tell({5, 6, 7, 8, 9, 10}), "");
  const std::vector<double> narrow = {1, 1, 1 + 4e-12, 1, 1, 1};
  // The 5 is among the last 10 + 30 * 4 / 6 = 30 best values for 29 further generations.
  for (int generation = 0; generation < 29; ++generation) {
    EXPECT_EQ(subject.tell(narrow), "") << generation;
  }
  EXPECT_EQ(subject.tell(narrow), "tolfun");
  EXPECT_EQ(subject.tell_falling(-1), "tolfun") << "stays stopped";
  EXPECT_EQ(subject.puppet->generations, 31);
}

TEST(Termination, TolfunhistLooksAtTheBestValuesAlone) {
  Subject subject;
  for (int generation = 0; generation < 9; ++generation) {
    EXPECT_EQ(subject.tell({1, 2, 3, 4, 5, 6}), "") << generation;
  }
  EXPECT_EQ(subject.tell({1 + 5e-13, 2, 3, 4, 5, 6}), "tolfunhist");
}

TEST(Termination, FlatFitnessTwiceInARow) {
  Subject subject;
  EXPECT_EQ(subject.tell({7, 7, 7, 7, 7, 7}), "");
  EXPECT_EQ(subject.tell({7, 7, 7, 7, 7, 6}), "");
  EXPECT_EQ(subject.tell({3, 3, 3, 3, 3, 3}), "");
  EXPECT_EQ(subject.tell({2, 2, 2, 2, 2, 2}), "flatfitness");
}

TEST(Termination, MembersWithoutValueAreNoConvergence) {
  Subject subject;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (int generation = 0; generation < 9; ++generation) {
    EXPECT_EQ(subject.tell({1, nan, nan, nan, nan, nan}), "") << generation;
  }
}

TEST(Termination, TolxOnEveryDeviationAndThePath) {
  Subject subject;
  subject.puppet->at.assign(4, 0);
  subject.puppet->spread.deviations.assign(4, 1e-12);
  subject.puppet->spread.path = {1e-12, 1e-12, 1e-10, 1e-12};
  EXPECT_EQ(subject.tell_falling(9), "");
  subject.puppet->spread.path.assign(4, -1e-12);
  EXPECT_EQ(subject.tell_falling(8), "tolx");
}

TEST(Termination, TolfacupxWhenADeviationExplodes) {
  Subject subject;
  subject.puppet->spread.deviations[2] = 499;
  EXPECT_EQ(subject.tell_falling(9), "");
  subject.puppet->spread.deviations[2] = 501;
  EXPECT_EQ(subject.tell_falling(8), "tolfacupx");
}

TEST(Termination, ConditionOfTheCovariance) {
  Subject subject;
  subject.puppet->spread.condition = 0.9e14;
  EXPECT_EQ(subject.tell_falling(9), "");
  subject.puppet->spread.condition = 1.1e14;
  EXPECT_EQ(subject.tell_falling(8), "conditioncov");
}

TEST(Termination, NoEffectOnACoordinateOrAlongAnAxis) {
  Subject coordinate;
  coordinate.puppet->at[3] = 1e10;
  coordinate.puppet->spread.deviations[3] = 1e-4;
  EXPECT_EQ(coordinate.tell_falling(9), "");
  coordinate.puppet->spread.deviations[3] = 1e-7;
  EXPECT_EQ(coordinate.tell_falling(8), "noeffectcoord");

  Subject axis;
  axis.puppet->at.assign(4, 1e10);
  axis.puppet->spread.axis = {1e-8, 1e-8, 1e-4, 1e-8};
  EXPECT_EQ(axis.tell_falling(9), "");
  axis.puppet->spread.axis[2] = 1e-8;
  EXPECT_EQ(axis.tell_falling(8), "noeffectaxis");
}

/// n 4, population 6: not before generation 4 (5 + 100 / 6) = 86.7 nor with fewer than 101 values, and the
/// windows of floor(100 + 100 * 8 / 6) / 10 = 23 generations must lie behind it.
TEST(Termination, StagnationOfBestAndMedian) {
  Subject subject;
  RandomStream stream({.seed = 1, .purpose = "test"});
  std::string reason;
  int generation = 0;
  while (reason.empty() && generation < 1000) {
    ++generation;
    std::vector<double> costs;
    for (int member = 0; member < 6; ++member) {
      costs.push_back(stream.uniform());
    }
    reason = subject.tell(costs);
  }
  EXPECT_EQ(reason, "stagnation");
  EXPECT_GT(generation, 100);
  EXPECT_LT(generation, 300);
}

TEST(Termination, MostGenerations) {
  Subject subject;
  const int most = static_cast<int>(std::ceil(100 + 150 * 49 / std::sqrt(6.0)));
  for (int generation = 1; generation < most; ++generation) {
    ASSERT_EQ(subject.tell_falling(1e6 - generation), "") << generation;
  }
  EXPECT_EQ(subject.tell_falling(0), "maxiter");
}

/// The real one: near the optimum the sphere ends by tolfun, a linear function by tolfacupx.
TEST(Termination, RealRunsEndByTheRightName) {
  OptimizerConfig config;
  config.kind = "cma-es";
  config.sigma = 1;
  config.termination = true;
  const auto end = [&](const testing::Objective& objective) {
    const auto optimizer = make_optimizer(config, std::vector<double>(6, 3.0), 1);
    while (!optimizer->stop() && optimizer->generation() < 5000) {
      optimizer->tell(testing::fitness_of(objective, optimizer->ask(), 6));
    }
    return optimizer->stop().value_or("").substr(0, 9);
  };
  EXPECT_EQ(end(testing::sphere), "tolfun: t");
  EXPECT_EQ(end([](std::span<const double> x) { return x[0]; }), "tolfacupx");
  EXPECT_EQ(end([](std::span<const double>) { return 1.0; }), "flatfitne");
}

TEST(Termination, TheReasonComesBackWithTheState) {
  OptimizerConfig config;
  config.kind = "sep-cma-es";
  config.termination = true;
  const auto optimizer = make_optimizer(config, std::vector<double>(3, 1.0), 1);
  while (!optimizer->stop()) {
    optimizer->tell(testing::fitness_of(testing::sphere, optimizer->ask(), 3));
  }
  const auto restored = make_optimizer(config, std::vector<double>(3), 2);
  restored->restore(optimizer->state());
  EXPECT_EQ(restored->stop(), optimizer->stop());
  // The saved decision holds where the numbers would give another one.
  for (const int64_t stopped : {0, 1}) {
    OptimizerState state = optimizer->state();
    for (auto& array : state.arrays) {
      if (array.name == "termination_stopped") array = scalar_array(array.name, stopped);
    }
    restored->restore(state);
    EXPECT_EQ(restored->stop().has_value(), stopped == 1);
  }
}

}  // namespace
}  // namespace namm::evolution
