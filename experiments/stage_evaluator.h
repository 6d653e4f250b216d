#pragma once

#include <memory>
#include <string>
#include <vector>

#include "evolution/worker.h"
#include "experiments/evaluation.h"
#include "experiments/experiment.h"
#include "memory/memory_file.h"
#include "tasks/task.h"

namespace namm::experiments {

/// Tasks of a stage in its order.
struct StageTasks {
  std::vector<std::unique_ptr<tasks::Task>> tasks;

  /// Opens the tasks; throws as tasks::make_task.
  StageTasks(const std::vector<std::string>& names, const tasks::TaskConfig& config,
             const tasks::DataConfig& data, int64_t max_positions);
  std::vector<const tasks::Task*> pointers() const;
  int64_t skipped_records() const;
  /// What a table must say of these tasks' scores: prompts of our own, records that are not held out.
  std::vector<std::string> notes() const;
};

tasks::Split split_of(const EvaluateConfig& stage);

/// Makes the evaluators of a run's work items, whatever their stage. They need the configuration, the model
/// and the data and nothing that the run has found out so far: an item carries that itself.
evolution::EvaluatorFactory make_run_evaluator(const ExperimentConfig& config,
                                               std::shared_ptr<const Evaluation> evaluation,
                                               std::vector<std::shared_ptr<const StageTasks>> stage_tasks);

/// What the items of an evaluate stage share: the memory that is evaluated, or nothing where no policy needs
/// one.
std::string memory_bytes(const memory::MemoryFile* memory);

/// What an item of an evaluate stage says of one policy.
struct PolicyOutcome {
  ContextResult result;
  std::vector<std::string> predictions;  ///< [questions], any bytes
};
/// In the order of the stage's policies. Throws DataError on bytes that no evaluator wrote.
std::vector<PolicyOutcome> read_outcomes(const evolution::WorkResult& result);

}  // namespace namm::experiments
