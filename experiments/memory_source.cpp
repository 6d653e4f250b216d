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
  set_evolved_tasks(file, evolved_tasks(config, static_cast<size_t>(checkpoint.stage)));
  return file;
}

/// Runs may start from each other in a circle only where files were replaced.
constexpr int kMostAncestors = 100;

EvolvedTasks tasks_of_stage(const ExperimentConfig& config, size_t index, int depth);

EvolvedTasks tasks_of_file(const std::filesystem::path& start, int depth) {
  try {
    auto path = start;
    std::error_code error;
    if (std::filesystem::is_directory(start, error)) {
      const auto newest = RunDirectory::open_to_read(start).newest_checkpoint();
      if (!newest) return std::nullopt;
      path = newest->path;
    }
    if (!is_checkpoint(path)) return evolved_tasks(memory::MemoryFile::load(path));
    const auto stage = static_cast<size_t>(evolution::read_checkpoint(path).stage);
    return tasks_of_stage(config_of_checkpoint(path), stage, depth + 1);
  } catch (const Error&) {
    return std::nullopt;
  }
}

EvolvedTasks tasks_of_stage(const ExperimentConfig& config, size_t index, int depth) {
  if (depth > kMostAncestors || index >= config.stages.size() || !config.stages[index].evolve) {
    return std::nullopt;
  }
  const EvolveConfig& stage = *config.stages[index].evolve;
  EvolvedTasks tasks = std::vector<std::string>();
  if (stage.start.kind == "file") {
    tasks = tasks_of_file(stage.start.file.value, depth);
  } else if (stage.start.kind != "zero") {
    size_t before = index;
    while (before > 0 && !config.stages[before - 1].evolve) --before;
    if (before > 0) tasks = tasks_of_stage(config, before - 1, depth + 1);
  }
  if (!tasks) return std::nullopt;
  for (const auto& task : stage.tasks) {
    if (std::find(tasks->begin(), tasks->end(), task) == tasks->end()) tasks->push_back(task);
  }
  return tasks;
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

EvolvedTasks evolved_tasks(const memory::MemoryFile& file) {
  const auto found = file.provenance.find("tasks");
  if (found == file.provenance.end() || found->second.empty()) return std::nullopt;
  std::vector<std::string> tasks;
  for (const auto& task : split(found->second, ',')) tasks.emplace_back(trim(task));
  return tasks;
}

EvolvedTasks evolved_tasks(const ExperimentConfig& config, size_t index) {
  return tasks_of_stage(config, index, 0);
}

void set_evolved_tasks(memory::MemoryFile& file, const EvolvedTasks& tasks) {
  if (tasks) file.provenance["tasks"] = join(*tasks, ", ");
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
