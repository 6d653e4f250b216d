#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "evolution/queue.h"
#include "experiments/evaluation.h"
#include "experiments/experiment.h"
#include "experiments/stage_evaluator.h"
#include "memory/memory_file.h"

namespace namm::experiments {

/// What the stages of a run share.
struct RunContext {
  ExperimentConfig config;
  int threads = 1;
  bool json_progress = false;  ///< a generation's line on standard error is its row as JSON
  std::shared_ptr<const Evaluation> evaluation;
  std::vector<std::shared_ptr<const StageTasks>> stage_tasks;  ///< by stage
  evolution::Queue* queue = nullptr;                           ///< of the whole run, while its stages run
  std::string identity;                                        ///< SHA-256, see identity_of
  std::optional<memory::MemoryFile> given_memory;  ///< memory.file or the shipped one, where a stage needs it
  std::optional<memory::MemoryFile> evolved;       ///< answer of the last complete evolve stage
  /// Of the newest checkpoint, where a run is resumed: its stage, and where that began.
  int64_t saved_stage = -1;
  int64_t saved_first_generation = 0;
};

/// Opens the tasks of stage `index` for this model. Throws as StageTasks.
std::shared_ptr<const StageTasks> open_stage_tasks(const ExperimentConfig& config, size_t index,
                                                   const models::Archive& archive);

/// Opens model, data and tasks of a configuration: what its work items are evaluated with. `identity`, memory
/// and places are the caller's. Throws ConfigError, DataError.
RunContext open_run(const ExperimentConfig& config, c10::Device device);

/// What decides the last bits of a run's results, as words: a worker must have the same (design 5).
std::map<std::string, std::string> run_requirements(const RunContext& context, c10::Device device);

}  // namespace namm::experiments
