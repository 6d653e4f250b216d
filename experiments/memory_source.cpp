#include "experiments/memory_source.h"

#include <algorithm>

#include "core/errors.h"
#include "core/hdf5.h"
#include "core/run_directory.h"
#include "core/text.h"
#include "evolution/checkpoint.h"
#include "experiments/fitness.h"
#include "experiments/places.h"

namespace namm::experiments {

namespace {

const char* const kShippedMemory = "models/tiny/namm.h5";
const char* const kTasks = "tasks";

/// A checkpoint lies in RUN/checkpoints.
std::filesystem::path run_of_checkpoint(const std::filesystem::path& checkpoint) {
  return std::filesystem::absolute(checkpoint).lexically_normal().parent_path().parent_path();
}

memory::MemoryFile memory_of_checkpoint(const std::filesystem::path& path) {
  const evolution::Checkpoint checkpoint = evolution::read_checkpoint(path);
  const ExperimentConfig config = config_of_checkpoint(path);
  memory::MemoryFile file;
  file.config = config.memory;
  const auto& mean = checkpoint.best.mean.empty() ? evolution::doubles_of(checkpoint.optimizer.arrays, "mean",
                                                                          config.memory.parameters())
                                                  : checkpoint.best.mean;
  file.parameters.assign(mean.begin(), mean.end());
  file.statistics = memory::FeatureStatistics::from_values(statistics_of(checkpoint.statistics));
  file.provenance = {{"run", run_of_checkpoint(path).filename().string()},
                     {"checkpoint", path.filename().string()},
                     {"config_sha256", checkpoint.config_sha256}};
  set_evolved_tasks(file, parse_tasks(checkpoint.origin));
  return file;
}

}  // namespace

bool is_checkpoint(const std::filesystem::path& path) {
  return path.filename().string().starts_with("generation_");
}

ExperimentConfig config_of_checkpoint(const std::filesystem::path& checkpoint) {
  const auto file = run_of_checkpoint(checkpoint) / "config.yaml";
  std::error_code error;
  if (!std::filesystem::exists(file, error)) {
    throw DataError(
        format_text("{}: {} is missing, which says what its parameters mean; name the checkpoint in its run "
                    "directory, or a "
                    "memory file",
                    checkpoint.string(), file.string()));
  }
  return read_config<ExperimentConfig>(ConfigDocument::load(file));
}

EvolvedTasks parse_tasks(const std::string& text) {
  if (text.empty()) return std::nullopt;
  std::vector<std::string> tasks;
  for (const auto& task : split(text, ',')) tasks.emplace_back(trim(task));
  return tasks;
}

std::string text_of(const EvolvedTasks& tasks) {
  return tasks ? join(*tasks, ", ") : "";
}

EvolvedTasks evolved_tasks(const memory::MemoryFile& file) {
  const auto found = file.provenance.find(kTasks);
  return found == file.provenance.end() ? std::nullopt : parse_tasks(found->second);
}

void set_evolved_tasks(memory::MemoryFile& file, const EvolvedTasks& tasks) {
  if (tasks) file.provenance[kTasks] = text_of(tasks);
}

std::filesystem::path shipped_memory() {
  const auto path = shipped_file(kShippedMemory);
  if (!path) {
    throw DataError(format_text(
        "{}: the memory that comes with the program is missing: name one with memory.file (or --memory), "
        "or evolve one with ./experiments/quickstart",
        kShippedMemory));
  }
  return *path;
}

memory::MemoryFile find_memory(const memory::MemoryConfig& config) {
  if (config.file.empty() && config.has_own_transformer()) {
    throw DataError(
        format_text("memory.file: must name a memory evolved on this model, or an evolve stage must come "
                    "first: the shipped "
                    "one is for scorer bam and shared parameters, not {} and {}",
                    config.scorer, config.sharing));
  }
  const auto path = config.file.empty() ? shipped_memory() : config.file.value;
  auto file = memory::MemoryFile::load(path);
  file.require_same_network(config, path.string());
  return file;
}

memory::MemoryFile read_memory_of(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    const RunDirectory run = RunDirectory::open_to_read(path);
    if (std::filesystem::exists(run.memory(), error)) return memory::MemoryFile::load(run.memory());
    const auto newest = run.newest_checkpoint();
    if (!newest) {
      throw DataError(path.string() + ": the run has neither memory.h5 nor a readable checkpoint yet");
    }
    return memory_of_checkpoint(newest->path);
  }
  if (is_checkpoint(path)) return memory_of_checkpoint(path);
  return memory::MemoryFile::load(path);
}

}  // namespace namm::experiments
