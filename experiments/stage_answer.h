#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>

#include "core/run_directory.h"
#include "experiments/run_context.h"
#include "memory/memory_file.h"

namespace namm::experiments {

/// Where the answer of evolve stage `index` is kept: memory.h5, or with several evolve stages a file of its
/// own, since a later stage's must not replace it and a resumed run needs both.
std::filesystem::path answer_file(const ExperimentConfig& config, const RunDirectory& directory,
                                  size_t index);

/// Reads an answer of this run. Throws DataError, also for one of another configuration, model or data.
memory::MemoryFile load_answer(const RunContext& context, const std::filesystem::path& path);

/// Makes memory.h5 the answer of stage `index`, unless it is that of this stage or a later one.
void publish_answer(const RunContext& context, const RunDirectory& directory, const memory::MemoryFile& file,
                    size_t index);

/// Generations of the run when the stage ended that gave this memory; -1 where it does not say.
int64_t generations_of(const memory::MemoryFile& file);

/// The step size at which that stage ended, for the next one to go on with; nothing where it does not say, or
/// where the optimiser had ended the stage: what has converged has no step left.
std::optional<double> sigma_of(const memory::MemoryFile& file);

}  // namespace namm::experiments
