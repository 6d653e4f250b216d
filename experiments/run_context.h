#pragma once

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

}  // namespace namm::experiments
