#pragma once

#include <cstddef>

#include "core/run_directory.h"
#include "experiments/run_context.h"

namespace namm::experiments {

/// Throws what would be wrong with stage `index` before anything starts: start file, samples.
void check_evolve_stage(const RunContext& context, size_t index);

/// Runs or resumes an evolve stage; leaves its answer in `context.evolved` and memory.h5.
void run_evolve_stage(RunContext& context, const RunDirectory& directory, size_t index);

}  // namespace namm::experiments
