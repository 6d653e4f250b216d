#pragma once

#include <memory>
#include <string>
#include <vector>

#include "evolution/worker.h"
#include "experiments/evaluation.h"
#include "experiments/experiment.h"
#include "memory/namm_config.h"
#include "memory/policy_list.h"
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

/// What the items of an evolve stage are computed with. Read-only, shared by all workers.
struct EvolveContext {
  std::shared_ptr<const Evaluation> evaluation;
  std::shared_ptr<const StageTasks> tasks;
  memory::NammConfig memory;
  bool greedy_training = false;    ///< the fitness asks for greedy answers
  bool greedy_validation = false;  ///< the validation does
  int64_t threads_per_item = 1;
};
evolution::EvaluatorFactory make_evolve_evaluator(std::shared_ptr<const EvolveContext> context);

/// The same for an evaluate stage: an item is one sample under all policies, the evolved memory first, so
/// that its counts give the others' budgets.
struct EvaluateContext {
  std::shared_ptr<const Evaluation> evaluation;
  std::shared_ptr<const StageTasks> tasks;
  tasks::Split split = tasks::Split::test;
  memory::PolicyArguments arguments;  ///< theta [1, n], statistics, budget; `recorded` is filled item by item
  std::vector<std::string> policies;  ///< in the order of the table
  int64_t threads_per_item = 1;
};
evolution::EvaluatorFactory make_evaluate_evaluator(std::shared_ptr<const EvaluateContext> context);

/// What an item of an evaluate stage says of one policy.
struct PolicyOutcome {
  ContextResult result;
  std::vector<std::string> predictions;  ///< [questions], any bytes
};
/// In the order of EvaluateContext::policies. Throws DataError on bytes that no evaluator wrote.
std::vector<PolicyOutcome> read_outcomes(const evolution::WorkResult& result);

}  // namespace namm::experiments
