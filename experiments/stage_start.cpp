#include "experiments/stage_start.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "core/errors.h"
#include "core/run_directory.h"
#include "evolution/checkpoint.h"
#include "evolution/optimizer_list.h"
#include "experiments/fitness.h"
#include "experiments/stage_answer.h"

namespace namm::experiments {

namespace {

StageStart start_from_memory(const memory::MemoryFile& file, const memory::NammConfig& wanted,
                             const std::string& where) {
  file.require_same_network(wanted, where);
  StageStart start;
  start.mean.assign(file.parameters.begin(), file.parameters.end());
  start.tasks = evolved_tasks(file);
  if (file.statistics.count > 0) start.statistics = to_arrays(file.statistics.to_values());
  return start;
}

StageStart start_from_checkpoint(const std::filesystem::path& path, const memory::NammConfig& wanted) {
  evolution::Checkpoint checkpoint = evolution::read_checkpoint(path);
  memory::MemoryFile file;
  file.config = config_of_checkpoint(path).memory;
  file.require_same_network(wanted, path.string());
  StageStart start;
  start.mean.assign(static_cast<size_t>(wanted.parameters()), 0.0);
  start.statistics = checkpoint.statistics;
  start.tasks = parse_tasks(checkpoint.origin);
  start.optimizer = std::move(checkpoint.optimizer);
  return start;
}

/// One seed a stage, so that a later stage does not repeat the draws of the first.
uint64_t stage_seed(uint64_t seed, size_t index) {
  return seed + 0x9E3779B97F4A7C15ULL * index;
}

}  // namespace

StageStart start_from_zero(const memory::NammConfig& wanted) {
  StageStart start;
  start.mean.assign(static_cast<size_t>(wanted.parameters()), 0.0);
  return start;
}

StageStart stage_start(const RunContext& context, size_t index) {
  const EvolveConfig& stage = *context.config.stages[index].evolve;
  const memory::MemoryConfig& memory = context.config.memory;
  if (stage.start.kind == "file") {
    const auto& path = stage.start.file.value;
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) {
      const auto newest = RunDirectory::open_to_read(path).newest_checkpoint();
      if (!newest) throw DataError(path.string() + ": the run has no readable checkpoint to start from");
      return start_from_checkpoint(newest->path, memory);
    }
    if (is_checkpoint(path)) return start_from_checkpoint(path, memory);
    return start_from_memory(memory::MemoryFile::load(path), memory, path.string());
  }
  if (stage.start.kind != "zero" && context.evolved) {
    StageStart start = start_from_memory(*context.evolved, memory, "memory.h5");
    start.sigma = sigma_of(*context.evolved);
    return start;
  }
  return start_from_zero(memory);
}

std::unique_ptr<evolution::Optimizer> make_stage_optimizer(const RunContext& context, size_t index,
                                                           const StageStart& start) {
  const EvolveConfig& stage = *context.config.stages[index].evolve;
  evolution::OptimizerConfig config = context.config.evolution.optimizer;
  config.sigma = stage.sigma ? *stage.sigma : start.sigma.value_or(config.sigma);
  auto optimizer = evolution::make_optimizer(config, start.mean, stage_seed(context.config.seed, index));
  if (start.optimizer) {
    optimizer->restore(*start.optimizer);
    // A step size that the stage names holds against the saved one.
    if (stage.sigma) optimizer->scale_sigma(*stage.sigma / optimizer->sigma());
  }
  return optimizer;
}

}  // namespace namm::experiments
