#pragma once

#include <cstddef>

#include "core/run_directory.h"
#include "experiments/run_context.h"

namespace namm::experiments {

/// Throws what would be wrong with stage `index` before anything starts: split, samples.
void check_evaluate_stage(const RunContext& context, size_t index);

/// Runs or resumes an evaluate stage; leaves results.h5 and predictions/.
void run_evaluate_stage(RunContext& context, const RunDirectory& directory, size_t index);

}  // namespace namm::experiments
