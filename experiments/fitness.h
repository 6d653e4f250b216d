#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "evolution/evolution_problem.h"
#include "experiments/experiment.h"
#include "tasks/task.h"

namespace namm::experiments {

/// Samples of a stage's tasks for one purpose. Ids of generated tasks never meet: training ids go by seed and
/// generation, calibration has a range of its own, validation and test are splits of their own.
class SamplePlan {
 public:
  /// `tasks` in the order of the stage; not owned.
  SamplePlan(uint64_t seed, std::vector<const tasks::Task*> tasks);

  /// Fresh samples of the training split; of benchmarks with a fixed number of records, drawn without
  /// replacement.
  std::vector<evolution::SampleId> train(int64_t generation, int64_t per_task) const;
  std::vector<evolution::SampleId> calibration(int64_t per_task) const;
  /// The first samples of a split; of benchmarks at most as many as there are.
  std::vector<evolution::SampleId> first(tasks::Split split, int64_t per_task) const;
  /// Makes the first of `ids` of every task, so that settings that a task cannot meet are known before a run
  /// begins. Throws as tasks::Task::sample.
  void try_out(tasks::Split split, const std::vector<evolution::SampleId>& ids,
               const TokenCodec& codec) const;

 private:
  uint64_t seed_;
  std::vector<const tasks::Task*> tasks_;
};

/// Fitness of every row: mean over tasks of the mean score over the task's samples, minus `cache_weight`
/// times the mean kept share, minus `shortfall_weight` times the mean over tasks of how far the score lies
/// below that of `reference` (the full cache) over the same samples. With `normalize: full_cache` a task's
/// mean is first divided by that of the reference (namm-semantics 8.2). A score that is not finite makes the
/// row's fitness NaN, which ranks last. `reference` may be null unless `fitness.needs_reference()`.
evolution::Reduction reduce_outcomes(const evolution::RecordTable& table,
                                     const evolution::RecordTable* reference, const FitnessConfig& fitness);

/// An evolve stage as the coordinator sees it.
class MemoryProblem : public evolution::EvolutionProblem {
 public:
  /// `statistics`: those of the start, where the stage does not calibrate itself; else empty.
  MemoryProblem(const EvolveConfig& stage, SamplePlan plan, evolution::NamedArrays statistics);

  std::vector<evolution::SampleId> samples(int64_t generation) const override;
  std::vector<evolution::SampleId> validation_samples() const override;
  std::vector<evolution::SampleId> calibration_samples() const override;
  evolution::NamedArrays merge_calibration(std::span<const evolution::WorkResult> results) const override;
  bool needs_reference(evolution::Purpose purpose) const override {
    return purpose == evolution::Purpose::validation ? stage_.validation_fitness().needs_reference()
                                                     : stage_.fitness.needs_reference();
  }
  std::string shared_bytes(evolution::Purpose purpose,
                           const evolution::NamedArrays& statistics) const override;
  evolution::Reduction reduce(const evolution::RecordTable& table,
                              const evolution::RecordTable* reference) const override;
  evolution::Reduction reduce_validation(const evolution::RecordTable& table,
                                         const evolution::RecordTable* reference) const override;

 private:
  EvolveConfig stage_;
  SamplePlan plan_;
  evolution::NamedArrays statistics_;
};

/// Statistics as checkpoints and items carry them.
evolution::NamedArrays to_arrays(const std::vector<double>& statistics);
std::vector<double> statistics_of(const evolution::NamedArrays& arrays);
std::string to_bytes(const std::vector<double>& values);
/// Throws DataError when the bytes are no list of numbers.
std::vector<double> from_bytes(std::string_view bytes);

}  // namespace namm::experiments
