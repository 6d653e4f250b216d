#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "evolution/named_array.h"
#include "evolution/optimizer.h"
#include "experiments/memory_source.h"
#include "experiments/run_context.h"

namespace namm::experiments {

/// Where an evolve stage begins.
struct StageStart {
  std::vector<double> mean;
  evolution::NamedArrays statistics;                   ///< of features; empty: to be calibrated
  std::optional<evolution::OptimizerState> optimizer;  ///< its whole state, from a checkpoint
  std::optional<double> sigma;                         ///< handed over by the stage before
  EvolvedTasks tasks = std::vector<std::string>();     ///< that the mean was evolved on
};

StageStart start_from_zero(const memory::NammConfig& wanted);

/// As the stage's `start` says, from the file it names or the answer in `context`. Throws DataError for a
/// file that cannot be read or holds another network.
StageStart stage_start(const RunContext& context, size_t index);

/// The optimiser of a stage that begins so. Throws ConfigError for settings that do not go together.
std::unique_ptr<evolution::Optimizer> make_stage_optimizer(const RunContext& context, size_t index,
                                                           const StageStart& start);

}  // namespace namm::experiments
