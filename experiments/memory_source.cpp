#include "experiments/memory_source.h"

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

memory::MemoryFile memory_of_checkpoint(const std::filesystem::path& path) {
  const evolution::Checkpoint checkpoint = evolution::read_checkpoint(path);
  const auto config_file = path.parent_path().parent_path() / "config.yaml";
  const auto config = read_config<ExperimentConfig>(ConfigDocument::load(config_file));
  memory::MemoryFile file;
  file.config = config.memory;
  const auto& mean = checkpoint.best.mean.empty() ? evolution::doubles_of(checkpoint.optimizer.arrays, "mean",
                                                                          config.memory.parameters())
                                                  : checkpoint.best.mean;
  file.parameters.assign(mean.begin(), mean.end());
  file.statistics = memory::FeatureStatistics::from_values(statistics_of(checkpoint.statistics));
  file.provenance = {{"run", path.parent_path().parent_path().filename().string()},
                     {"checkpoint", path.filename().string()},
                     {"config_sha256", checkpoint.config_sha256}};
  return file;
}

}  // namespace

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
  if (path.filename().string().starts_with("generation_")) return memory_of_checkpoint(path);
  return memory::MemoryFile::load(path);
}

}  // namespace namm::experiments
