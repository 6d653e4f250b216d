#pragma once

#include <filesystem>
#include <string>

#include "experiments/experiment.h"
#include "memory/memory_file.h"

namespace namm::experiments {

/// The memory that the policy namm uses where no stage evolved one: memory.file, else the shipped one. Throws
/// DataError when it is missing, or its features are not those of the config.
memory::MemoryFile find_memory(const memory::MemoryConfig& config);

/// Path of the shipped memory; throws DataError when it did not come with the program.
std::filesystem::path shipped_memory();

/// A memory from a memory file, a checkpoint (its best mean on validation, else its mean; constants from the
/// run's config.yaml), or a run directory (its memory.h5, else its newest checkpoint).
memory::MemoryFile read_memory_of(const std::filesystem::path& path);

}  // namespace namm::experiments
