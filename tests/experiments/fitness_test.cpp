#include "experiments/fitness.h"

#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "experiments/evaluation.h"

namespace namm::experiments {
namespace {

using evolution::RecordTable;
using evolution::SampleId;

evolution::Record record(double log_likelihood, double exact, double share) {
  return {Outcome{log_likelihood, exact, share, 100 * share}.to_values(), ""};
}

/// Two members, two samples of task 0, one of task 1.
RecordTable table() {
  RecordTable records(2, {{0, 10}, {0, 11}, {1, 10}});
  records.set(0, 0, record(-1, 0.5, 0.2));
  records.set(0, 1, record(-3, 1, 0.4));
  records.set(0, 2, record(-4, 0, 0.6));
  records.set(1, 0, record(-2, 1, 1));
  records.set(1, 1, record(-2, 1, 1));
  records.set(1, 2, record(-2, 1, 1));
  return records;
}

TEST(Fitness, MeanOverTasksMinusTheCacheTerm) {
  const auto exact = reduce_outcomes(table(), nullptr, {.score = "exact", .cache_weight = 0.5});
  // Tasks weigh the same: (0.75 + 0) / 2 - 0.5 * (0.3 + 0.6) / 2
  EXPECT_DOUBLE_EQ(exact.fitness[0], 0.375 - 0.5 * 0.45);
  EXPECT_DOUBLE_EQ(exact.fitness[1], 0.5);
  EXPECT_DOUBLE_EQ(exact.cache_fraction, (0.45 + 1) / 2);
  EXPECT_DOUBLE_EQ(reduce_outcomes(table(), nullptr, {.score = "log_likelihood"}).fitness[0], -3);
}

TEST(Fitness, NormalisedByTheFullCache) {
  RecordTable reference(1, table().samples());
  for (int64_t i = 0; i < 3; ++i) reference.set(0, i, record(-1, i == 2 ? 0.25 : 0.5, 1));
  const auto reduction = reduce_outcomes(table(), &reference, {.score = "exact", .normalize = "full_cache"});
  EXPECT_NEAR(reduction.fitness[1], (1 / 0.5 + 1 / 0.25) / 2, 1e-5);
}

TEST(Fitness, ATaskBelowTheFullCacheCosts) {
  RecordTable reference(1, table().samples());
  for (int64_t i = 0; i < 3; ++i) reference.set(0, i, record(-1, i == 2 ? 0.25 : 0.5, 1));
  const FitnessConfig fitness{.score = "exact", .cache_weight = 0.5, .shortfall_weight = 2};
  const auto reduction = reduce_outcomes(table(), &reference, fitness);
  // Task 0 is above the full cache (0.75 against 0.5), task 1 is 0.25 below it; what is gained on one does
  // not make up for the other.
  EXPECT_DOUBLE_EQ(reduction.fitness[0], 0.375 - 0.5 * 0.45 - 2 * 0.25 / 2);
  EXPECT_DOUBLE_EQ(reduction.fitness[1], 0.5);
  EXPECT_THROW(reduce_outcomes(table(), nullptr, fitness), std::logic_error);

  reference.set(0, 2, record(-1, std::numeric_limits<double>::quiet_NaN(), 1));
  EXPECT_TRUE(std::isnan(reduce_outcomes(table(), &reference, fitness).fitness[1]));
}

TEST(Fitness, ValidationIsNormalisedAsTheFitness) {
  EvolveConfig stage;
  stage.fitness = {.score = "log_likelihood", .cache_weight = 1, .normalize = "full_cache"};
  stage.validation.score = "exact";
  stage.validation.shortfall_weight = 3;
  const FitnessConfig expected{"exact", 0, 3, "full_cache"};
  EXPECT_EQ(stage.validation_fitness(), expected);
  EXPECT_TRUE(MemoryProblem(stage, SamplePlan(1, {}), {}).needs_reference(evolution::Purpose::population));
  stage.fitness.normalize = "none";
  const MemoryProblem problem(stage, SamplePlan(1, {}), {});
  EXPECT_FALSE(problem.needs_reference(evolution::Purpose::population));
  EXPECT_TRUE(problem.needs_reference(evolution::Purpose::validation));
}

TEST(Fitness, WhatIsNoNumberBecomesNaN) {
  RecordTable records = table();
  records.set(0, 1, record(std::numeric_limits<double>::infinity(), 1, 0.4));
  const auto reduction = reduce_outcomes(records, nullptr, {.score = "log_likelihood"});
  EXPECT_TRUE(std::isnan(reduction.fitness[0]));
  EXPECT_DOUBLE_EQ(reduction.fitness[1], -2);
}

TEST(Fitness, OutcomesOfAnotherShapeAreRefused) {
  EXPECT_THROW(Outcome::from_values({1, 2, 3}), DataError);
  EXPECT_THROW(from_bytes("abc"), DataError);
  EXPECT_EQ(from_bytes(to_bytes({1.5, -2})), (std::vector<double>{1.5, -2}));
}

// Contexts shorter than a period: nothing is known of the features, and evolution would run without
// normalising them.
TEST(Fitness, ACalibrationThatSawNoUpdateIsRefused) {
  EvolveConfig stage;
  const auto task = tasks::make_task("needle/hop", {});
  const MemoryProblem problem(stage, SamplePlan(1, {task.get()}), {});
  evolution::WorkResult nothing;
  nothing.bytes = to_bytes(memory::FeatureStatistics().to_values());
  EXPECT_THROW(problem.merge_calibration(std::vector{nothing, nothing}), DataError);
  memory::FeatureStatistics some;
  some.accumulate(at::ones({4, 17}));
  evolution::WorkResult seen;
  seen.bytes = to_bytes(some.to_values());
  EXPECT_FALSE(problem.merge_calibration(std::vector{nothing, seen}).empty());
}

tasks::TaskConfig task_config() {
  return {};
}

TEST(SamplePlan, GeneratedSamplesNeverRepeat) {
  const auto task = tasks::make_task("needle/hop", task_config());
  const SamplePlan plan(3, {task.get()});
  std::set<SampleId> seen;
  size_t count = 0;
  for (int64_t generation = 0; generation < 50; ++generation) {
    for (const auto& id : plan.train(generation, 4)) {
      EXPECT_GE(id.sample, 0);
      seen.insert(id);
      ++count;
    }
  }
  for (const auto& id : plan.calibration(4)) {
    seen.insert(id);
    ++count;
  }
  EXPECT_EQ(seen.size(), count);
  EXPECT_EQ(plan.train(7, 4), plan.train(7, 4));
  EXPECT_NE(plan.train(7, 4), SamplePlan(4, {task.get()}).train(7, 4));
  EXPECT_EQ(plan.first(tasks::Split::validation, 3).size(), 3);
}

}  // namespace
}  // namespace namm::experiments
