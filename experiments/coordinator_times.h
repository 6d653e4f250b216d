#pragma once

#include <filesystem>
#include <optional>

#include "experiments/experiment.h"
#include "experiments/item_times.h"
#include "experiments/stage_work.h"

namespace namm::experiments {

/// Measures the coordinator's own part of an evolve stage on this machine: one generation of the stage's
/// optimiser at its full size (unless `update_seconds` says what that takes), checkpoints, and a journal, the
/// latter in a new folder inside `place`, on the disk of the runs, which is removed. Throws
/// InfrastructureError when that cannot be written.
CoordinatorTimes measure_coordinator(const ExperimentConfig& config, const StageWork& work,
                                     const std::filesystem::path& place,
                                     const std::optional<double>& update_seconds = {});

}  // namespace namm::experiments
