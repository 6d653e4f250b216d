#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/experiment.h"
#include "memory/memory_file.h"

namespace namm::experiments {

/// The memory that the policy namm uses where no stage evolved one: memory.file, else the shipped one. Throws
/// DataError when it is missing, or its network is not that of the config.
memory::MemoryFile find_memory(const memory::MemoryConfig& config);

/// Path of the shipped memory; throws DataError when it did not come with the program.
std::filesystem::path shipped_memory();

/// Whether a path names a checkpoint of a run (generation_000120.h5).
bool is_checkpoint(const std::filesystem::path& path);

/// config.yaml of the run that a checkpoint belongs to. Throws DataError when it is missing.
ExperimentConfig config_of_checkpoint(const std::filesystem::path& checkpoint);

/// Tasks on which a memory and its ancestors were evolved; nothing where that is not known. As text, in
/// memory files and checkpoints: separated by commas, "" where not known.
using EvolvedTasks = std::optional<std::vector<std::string>>;
EvolvedTasks parse_tasks(const std::string& text);
std::string text_of(const EvolvedTasks& tasks);
/// As the file's provenance says.
EvolvedTasks evolved_tasks(const memory::MemoryFile& file);
void set_evolved_tasks(memory::MemoryFile& file, const EvolvedTasks& tasks);

/// A memory from a memory file, a checkpoint (its best mean on validation, else its mean; constants from the
/// run's config.yaml), or a run directory (its memory.h5, else its newest checkpoint).
memory::MemoryFile read_memory_of(const std::filesystem::path& path);

}  // namespace namm::experiments
