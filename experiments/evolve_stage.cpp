#include "experiments/evolve_stage.h"

#include <algorithm>
#include <cmath>

#include "core/build_info.h"
#include "core/errors.h"
#include "core/interrupt.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/text.h"
#include "evolution/coordinator.h"
#include "evolution/queues/threads.h"
#include "experiments/fitness.h"
#include "experiments/memory_source.h"

namespace namm::experiments {

namespace {

/// Where a stage begins: mean, statistics (empty: to be calibrated), perhaps a whole optimiser.
struct Start {
  std::vector<double> mean;
  evolution::NamedArrays statistics;
  std::optional<evolution::OptimizerState> optimizer;
};

Start start_from_memory(const memory::MemoryFile& file, const memory::NammConfig& wanted,
                        const std::string& where) {
  file.require_same_network(wanted, where);
  Start start;
  start.mean.assign(file.parameters.begin(), file.parameters.end());
  if (file.statistics.count > 0) start.statistics = to_arrays(file.statistics.to_values());
  return start;
}

Start start_from_checkpoint(const std::filesystem::path& path, const memory::NammConfig& wanted) {
  evolution::Checkpoint checkpoint = evolution::read_checkpoint(path);
  Start start;
  start.mean.assign(static_cast<size_t>(wanted.parameters()), 0.0);
  start.statistics = checkpoint.statistics;
  start.optimizer = std::move(checkpoint.optimizer);
  return start;
}

Start start_of(const RunContext& context, const EvolveConfig& stage) {
  const memory::MemoryConfig& memory = context.config.memory;
  if (stage.start.kind == "file") {
    const auto& path = stage.start.file.value;
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) {
      const auto newest = RunDirectory::open_to_read(path).newest_checkpoint();
      if (!newest) throw DataError(path.string() + ": the run has no readable checkpoint to start from");
      return start_from_checkpoint(newest->path, memory);
    }
    if (path.filename().string().starts_with("generation_")) return start_from_checkpoint(path, memory);
    return start_from_memory(memory::MemoryFile::load(path), memory, path.string());
  }
  if (stage.start.kind != "zero" && context.evolved)
    return start_from_memory(*context.evolved, memory, "memory.h5");
  Start start;
  start.mean.assign(static_cast<size_t>(memory.parameters()), 0.0);
  return start;
}

/// One seed a stage, so that a later stage does not repeat the draws of the first.
uint64_t stage_seed(uint64_t seed, size_t index) {
  return seed + 0x9E3779B97F4A7C15ULL * index;
}

int64_t items_of_generation(const evolution::ScheduleConfig& schedule, const EvolveConfig& stage,
                            int64_t population) {
  const auto up = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  return up(population, schedule.members_per_item) * static_cast<int64_t>(stage.tasks.size()) *
         up(stage.contexts_per_task, schedule.samples_per_item);
}

/// Chooses among shifts of the score's bias on the validation contexts. Returns the shift.
double choose_shift(const RunContext& context, const MemoryProblem& problem,
                    evolution::Coordinator& coordinator, size_t index, const std::vector<double>& mean,
                    const evolution::NamedArrays& statistics, int64_t generation,
                    const std::vector<double>& shifts) {
  const auto layout = context.config.memory.layout();
  const int64_t bias = layout.back().offset;
  const auto rows = static_cast<int64_t>(shifts.size());
  const auto n = static_cast<int64_t>(mean.size());
  std::vector<double> candidates;
  for (const double shift : shifts) {
    candidates.insert(candidates.end(), mean.begin(), mean.end());
    candidates[candidates.size() - static_cast<size_t>(n - bias)] += shift;
  }
  // Variant 1 keeps these items apart from the validation of the mean itself.
  const evolution::ItemId batch{static_cast<int32_t>(index), evolution::Purpose::validation, generation, 1,
                                0};
  const auto samples = problem.validation_samples();
  const auto& schedule = context.config.evolution.schedule;
  const auto shared = [&](evolution::Purpose purpose) {
    return std::make_shared<const std::string>(problem.shared_bytes(purpose, statistics));
  };
  auto items = evolution::partition(batch, evolution::make_candidates(rows, n, candidates), samples,
                                    schedule.members_per_item, schedule.samples_per_item,
                                    shared(evolution::Purpose::validation));
  const auto shifted = items.size();
  if (problem.needs_reference()) {
    const evolution::ItemId reference{batch.stage, evolution::Purpose::reference, generation, 1, 0};
    for (auto& item : evolution::partition(reference, nullptr, samples, 1, schedule.samples_per_item,
                                           shared(evolution::Purpose::reference))) {
      items.push_back(std::move(item));
    }
  }
  const auto results = coordinator.run_batch(items);
  const std::span all_items(items);
  const std::span all_results(results);
  std::optional<evolution::RecordTable> reference;
  if (problem.needs_reference()) {
    reference =
        evolution::assemble(all_items.subspan(shifted), all_results.subspan(shifted), 1, samples);
  }
  const auto reduction = problem.reduce_validation(
      evolution::assemble(all_items.first(shifted), all_results.first(shifted), rows, samples),
      reference ? &*reference : nullptr);
  size_t best = 0;
  std::string report;
  for (size_t i = 0; i < shifts.size(); ++i) {
    report += format_text("{}{}: {}", i == 0 ? "" : ", ", shifts[i], reduction.fitness[i]);
    if (reduction.fitness[i] > reduction.fitness[best]) best = i;
  }
  log_info("validation by shift of the score's bias: " + report);
  return shifts[best];
}

}  // namespace

void check_evolve_stage(const RunContext& context, size_t index) {
  const EvolveConfig& stage = *context.config.stages[index].evolve;
  const MemoryProblem problem(stage, SamplePlan(context.config.seed, context.stage_tasks[index]->pointers()),
                              {});
  problem.samples(0);
  problem.validation_samples();
  problem.calibration_samples();
  if (stage.start.kind == "file") start_of(context, stage);
}

void run_evolve_stage(RunContext& context, const RunDirectory& directory, size_t index) {
  const EvolveConfig& stage = *context.config.stages[index].evolve;
  const std::string name = context.config.stage_name(index);
  std::error_code error;
  if (std::filesystem::exists(directory.memory(), error)) {
    auto done = memory::MemoryFile::load(directory.memory());
    if (done.provenance["config_sha256"] != context.identity) {
      throw DataError(directory.memory().string() +
                      ": evolved with another configuration or model than this run's");
    }
    if (std::stoll("0" + done.provenance["stage_index"]) >= static_cast<int64_t>(index)) {
      log_info(name + ": already evolved");
      context.evolved = std::move(done);
      return;
    }
  }
  Start start = start_of(context, stage);
  const auto& schedule = context.config.evolution.schedule;
  const MemoryProblem problem(stage, SamplePlan(context.config.seed, context.stage_tasks[index]->pointers()),
                              start.statistics);
  auto optimizer = evolution::make_optimizer(context.config.evolution.optimizer, start.mean,
                                             stage_seed(context.config.seed, index));
  if (start.optimizer) optimizer->restore(*start.optimizer);

  auto evolve = std::make_shared<EvolveContext>();
  evolve->evaluation = context.evaluation;
  evolve->tasks = context.stage_tasks[index];
  evolve->memory = context.config.memory;
  evolve->greedy_training = stage.fitness.score == "exact";
  evolve->greedy_validation = stage.validation.score == "exact";
  evolve->threads_per_item = context.config.threads_per_item;

  evolution::ThreadQueue queue;
  const evolution::WorkerThreads workers(queue, make_evolve_evaluator(evolve), context.threads);
  const int64_t items = items_of_generation(schedule, stage, optimizer->population());
  const int64_t first = optimizer->generation();
  Progress progress("evolve " + name, static_cast<uint64_t>(stage.generations * items), "items");
  std::string latest;
  std::string validated;
  evolution::CoordinatorOptions options;
  options.config_sha256 = context.identity;
  options.schedule = schedule;
  options.stage = static_cast<int32_t>(index);
  options.stop_requested = interrupt_requested;
  options.on_progress = [&](const evolution::ItemId& batch, int64_t done, int64_t total) {
    // Calibration comes before the first population, validation after one.
    const bool population = batch.purpose == evolution::Purpose::population;
    const int64_t of_generation = population ? std::min(done, items)
                                  : batch.purpose == evolution::Purpose::calibrate || batch.variant != 0
                                      ? 0
                                      : items;
    const int64_t told = std::max<int64_t>(batch.generation - first, 0) * items;
    progress.update(static_cast<uint64_t>(told + of_generation),
                    format_text("generation {}/{}, {} {}/{}{}{}", batch.generation - first, stage.generations,
                                evolution::to_string(batch.purpose), done, total, latest, validated));
  };
  options.on_generation = [&](const evolution::GenerationRow& row) {
    const auto rounded = [](double value) { return std::round(value * 1e4) / 1e4; };
    latest = format_text(", best {}, mean {}, cache {} %", rounded(row.best), rounded(row.mean),
                         std::round(row.cache_fraction * 1e3) / 10);
    if (row.validation) validated = format_text(", validation {}", rounded(*row.validation));
    log_info(format_text("{} generation {}{}{}, sigma {}, {} s", name, row.generation, latest,
                         row.validation ? validated : "", rounded(row.sigma),
                         std::round(row.seconds * 10) / 10));
  };
  evolution::Coordinator coordinator(options, directory, queue);
  const evolution::EvolveSettings settings{stage.generations, stage.validation.every};
  const auto outcome = coordinator.evolve(problem, *optimizer, settings);

  auto answer = outcome.best.mean.empty() ? outcome.mean : outcome.best.mean;
  double shift = 0;
  if (!stage.validation.bias_shifts.empty()) {
    shift = choose_shift(context, problem, coordinator, index, answer, outcome.statistics, outcome.generation,
                         stage.validation.bias_shifts);
    answer[static_cast<size_t>(context.config.memory.layout().back().offset)] += shift;
  }
  progress.finish();

  memory::MemoryFile file;
  file.config = context.config.memory;
  file.parameters.assign(answer.begin(), answer.end());
  file.statistics = memory::FeatureStatistics::from_values(statistics_of(outcome.statistics));
  file.provenance = {{"run", directory.path().filename().string()},
                     {"stage", name},
                     {"stage_index", std::to_string(index)},
                     {"tasks", join(stage.tasks, ", ")},
                     {"optimizer", optimizer->kind()},
                     {"seed", std::to_string(context.config.seed)},
                     {"generations", std::to_string(outcome.generation)},
                     {"best_generation", std::to_string(outcome.best.generation)},
                     {"validation", format_text("{}", outcome.best.validation)},
                     {"bias_shift", format_text("{}", shift)},
                     {"state_sha256", outcome.state_sha256},
                     {"config_sha256", context.identity},
                     {"model_sha256", context.evaluation->archive().sha256()},
                     {"git_revision", build_info().git_revision}};
  // Tasks of the stages before count as evolved on too.
  if (context.evolved && stage.start.kind != "zero") {
    file.provenance["tasks"] = context.evolved->provenance["tasks"] + ", " + file.provenance["tasks"];
  }
  file.save(directory.memory());
  log_info(format_text("{}: the mean after generation {} is the answer: {}", name, outcome.best.generation,
                       directory.memory().string()));
  context.evolved = std::move(file);
}

}  // namespace namm::experiments
