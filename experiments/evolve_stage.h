#pragma once

#include <cstddef>
#include <vector>

#include "core/run_directory.h"
#include "experiments/run_context.h"

namespace namm::experiments {

/// Throws what would be wrong with stage `index` before anything starts: start file, samples.
void check_evolve_stage(const RunContext& context, size_t index);

/// Runs or resumes an evolve stage; leaves its answer in `context.evolved` and memory.h5.
void run_evolve_stage(RunContext& context, const RunDirectory& directory, size_t index);

/// The shift of the score's bias with the best validation (the first of equals); 0 where none is finite.
double best_shift(const std::vector<double>& shifts, const std::vector<double>& validation);

}  // namespace namm::experiments
