#include "experiments/evolve_stage.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <nlohmann/json.hpp>

#include "core/build_info.h"
#include "core/config_scalar.h"
#include "core/errors.h"
#include "core/interrupt.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/terminal.h"
#include "core/text.h"
#include "evolution/coordinator.h"
#include "experiments/fitness.h"
#include "experiments/generation_line.h"
#include "experiments/memory_source.h"

namespace namm::experiments {

namespace {

/// Where a stage begins: mean, statistics (empty: to be calibrated), perhaps a whole optimiser.
struct Start {
  std::vector<double> mean;
  evolution::NamedArrays statistics;
  std::optional<evolution::OptimizerState> optimizer;
  std::optional<double> sigma;                      ///< handed over by the stage before
  EvolvedTasks tasks = std::vector<std::string>();  ///< that the mean was evolved on
};

Start start_from_memory(const memory::MemoryFile& file, const memory::NammConfig& wanted,
                        const std::string& where) {
  file.require_same_network(wanted, where);
  Start start;
  start.mean.assign(file.parameters.begin(), file.parameters.end());
  start.tasks = evolved_tasks(file);
  if (file.statistics.count > 0) start.statistics = to_arrays(file.statistics.to_values());
  return start;
}

Start start_from_checkpoint(const std::filesystem::path& path, const memory::NammConfig& wanted) {
  evolution::Checkpoint checkpoint = evolution::read_checkpoint(path);
  memory::MemoryFile file;
  file.config = config_of_checkpoint(path).memory;
  file.require_same_network(wanted, path.string());
  Start start;
  start.mean.assign(static_cast<size_t>(wanted.parameters()), 0.0);
  start.statistics = checkpoint.statistics;
  start.tasks = parse_tasks(checkpoint.origin);
  start.optimizer = std::move(checkpoint.optimizer);
  return start;
}

Start start_from_zero(const memory::NammConfig& wanted) {
  Start start;
  start.mean.assign(static_cast<size_t>(wanted.parameters()), 0.0);
  return start;
}

/// The step size at which the stage ended that gave this memory.
std::optional<double> sigma_of(const memory::MemoryFile& file) {
  const auto found = file.provenance.find("sigma");
  double value = 0;
  if (found == file.provenance.end()) return std::nullopt;
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool good =
      error == std::errc() && end == text.data() + text.size() && value > 0 && std::isfinite(value);
  return good ? std::optional(value) : std::nullopt;
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
    if (is_checkpoint(path)) return start_from_checkpoint(path, memory);
    return start_from_memory(memory::MemoryFile::load(path), memory, path.string());
  }
  if (stage.start.kind != "zero" && context.evolved) {
    Start start = start_from_memory(*context.evolved, memory, "memory.h5");
    start.sigma = sigma_of(*context.evolved);
    return start;
  }
  return start_from_zero(memory);
}

/// Tasks of the answer of a stage that begins so.
EvolvedTasks tasks_of_answer(EvolvedTasks tasks, const EvolveConfig& stage) {
  if (!tasks) return std::nullopt;
  for (const auto& task : stage.tasks) {
    if (std::find(tasks->begin(), tasks->end(), task) == tasks->end()) tasks->push_back(task);
  }
  return tasks;
}

/// One seed a stage, so that a later stage does not repeat the draws of the first.
uint64_t stage_seed(uint64_t seed, size_t index) {
  return seed + 0x9E3779B97F4A7C15ULL * index;
}

std::unique_ptr<evolution::Optimizer> make_optimizer(const RunContext& context, size_t index,
                                                     const Start& start) {
  const EvolveConfig& stage = *context.config.stages[index].evolve;
  evolution::OptimizerConfig config = context.config.evolution.optimizer;
  config.sigma = stage.sigma ? *stage.sigma : start.sigma.value_or(config.sigma);
  auto optimizer = evolution::make_optimizer(config, start.mean, stage_seed(context.config.seed, index));
  if (start.optimizer) optimizer->restore(*start.optimizer);
  return optimizer;
}

/// Where the answer of stage `index` is kept: a later stage's must not replace it, a resumed run needs both.
std::filesystem::path answer_file(const RunContext& context, const RunDirectory& directory, size_t index) {
  const auto& stages = context.config.stages;
  const auto count =
      std::count_if(stages.begin(), stages.end(), [](auto& s) { return s.evolve.has_value(); });
  return count > 1 ? directory.memory(index) : directory.memory();
}

memory::MemoryFile load_answer(const RunContext& context, const std::filesystem::path& path) {
  auto file = memory::MemoryFile::load(path);
  if (file.provenance["config_sha256"] != context.identity) {
    throw DataError(path.string() + ": evolved with another configuration, model or data than this run's");
  }
  return file;
}

/// A number in the provenance of an answer; -1 where there is none.
int64_t number_of(const memory::MemoryFile& file, const char* key) {
  const auto found = file.provenance.find(key);
  int64_t value = -1;
  if (found != file.provenance.end()) {
    const std::string& text = found->second;
    std::from_chars(text.data(), text.data() + text.size(), value);
  }
  return value;
}

/// Makes memory.h5 the answer of stage `index`, unless it is that of this stage or a later one.
void publish_answer(const RunContext& context, const RunDirectory& directory, const memory::MemoryFile& file,
                    size_t index) {
  std::error_code error;
  if (std::filesystem::exists(directory.memory(), error)) {
    try {
      if (number_of(load_answer(context, directory.memory()), "stage_index") >= static_cast<int64_t>(index))
        return;
    } catch (const DataError&) {
      // A copy that is damaged, or another run's, is written again.
    }
  }
  file.save(directory.memory());
}

/// The batch in which shifts of the score's bias are compared. Variant 1 keeps it apart from the validation
/// of the mean itself.
evolution::ItemId shift_batch(size_t index, int64_t generation) {
  return {static_cast<int32_t>(index), evolution::Purpose::validation, generation, 1, 0};
}

int64_t items_of_generation(const evolution::ScheduleConfig& schedule, const EvolveConfig& stage,
                            int64_t population) {
  const auto up = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  return up(population, schedule.members_per_item) * static_cast<int64_t>(stage.tasks.size()) *
         up(stage.contexts_per_task, schedule.samples_per_item);
}

/// A parameter vector with `shift` added to the score's bias, of all scorers where there are several.
std::vector<double> with_shifted_biases(std::vector<double> parameters, const memory::NammConfig& memory,
                                        double shift) {
  for (const int64_t place : memory.score_biases()) parameters[static_cast<size_t>(place)] += shift;
  return parameters;
}

/// Chooses among shifts of the score's bias on the validation contexts. Returns the shift.
double choose_shift(const RunContext& context, const MemoryProblem& problem,
                    evolution::Coordinator& coordinator, size_t index, const std::vector<double>& mean,
                    const evolution::StageOutcome& outcome, const std::vector<double>& shifts) {
  const auto rows = static_cast<int64_t>(shifts.size());
  const auto n = static_cast<int64_t>(mean.size());
  std::vector<double> candidates;
  for (const double shift : shifts) {
    const auto shifted = with_shifted_biases(mean, context.config.memory, shift);
    candidates.insert(candidates.end(), shifted.begin(), shifted.end());
  }
  const evolution::ItemId batch = shift_batch(index, outcome.generation);
  const auto samples = problem.validation_samples();
  const auto& schedule = context.config.evolution.schedule;
  const auto items = evolution::partition(batch, evolution::make_candidates(rows, n, candidates), samples,
                                          schedule.members_per_item, schedule.samples_per_item,
                                          std::make_shared<const std::string>(problem.shared_bytes(
                                              evolution::Purpose::validation, outcome.statistics)));
  const auto results = coordinator.run_batch(items);
  const auto reduction =
      problem.reduce_validation(evolution::assemble(items, results, rows, samples),
                                outcome.validation_reference ? &*outcome.validation_reference : nullptr);
  std::string report;
  for (size_t i = 0; i < shifts.size(); ++i) {
    report += format_text("{}{}: {}", i == 0 ? "" : ", ", shifts[i], reduction.fitness[i]);
  }
  log_info("validation by shift of the score's bias: " + report);
  return best_shift(shifts, reduction.fitness);
}

}  // namespace

double best_shift(const std::vector<double>& shifts, const std::vector<double>& validation) {
  const auto best = static_cast<size_t>(evolution::rank_members(validation).front());
  if (std::isfinite(validation[best])) return shifts[best];
  log_warning("no shift of the score's bias has a finite validation: the bias stays as it is");
  return 0;
}

void check_evolve_stage(const RunContext& context, size_t index) {
  const EvolveConfig& stage = *context.config.stages[index].evolve;
  const SamplePlan plan(context.config.seed, context.stage_tasks[index]->pointers());
  const MemoryProblem problem(stage, plan, {});
  const TokenCodec& codec = context.evaluation->archive().codec();
  plan.try_out(tasks::Split::train, problem.samples(0), codec);
  plan.try_out(tasks::Split::train, problem.calibration_samples(), codec);
  plan.try_out(tasks::Split::validation, problem.validation_samples(), codec);
  const bool begun = context.saved_stage >= static_cast<int64_t>(index);
  const bool from_file = stage.start.kind == "file" && !begun;
  make_optimizer(context, index,
                 from_file ? start_of(context, stage) : start_from_zero(context.config.memory));
}

void run_evolve_stage(RunContext& context, const RunDirectory& directory, size_t index) {
  const EvolveConfig& stage = *context.config.stages[index].evolve;
  const std::string name = context.config.stage_name(index);
  const auto answer_path = answer_file(context, directory, index);
  std::error_code error;
  if (std::filesystem::exists(answer_path, error)) {
    context.evolved = load_answer(context, answer_path);
    publish_answer(context, directory, *context.evolved, index);
    evolution::discard_journal(directory, shift_batch(index, number_of(*context.evolved, "generations")));
    log_info(name + ": already evolved");
    return;
  }
  if (context.saved_stage > static_cast<int64_t>(index)) {
    throw DataError(
        format_text("{}: the answer of {} is missing although a later stage has begun; put the file "
                    "back, or start anew with another --out",
                    answer_path.string(), name));
  }
  // The checkpoint of a stage that has begun holds all that its start gave.
  const bool begun = context.saved_stage == static_cast<int64_t>(index);
  const Start start = begun ? start_from_zero(context.config.memory) : start_of(context, stage);
  const auto& schedule = context.config.evolution.schedule;
  const MemoryProblem problem(stage, SamplePlan(context.config.seed, context.stage_tasks[index]->pointers()),
                              start.statistics);
  const auto optimizer = make_optimizer(context, index, start);

  const int64_t items = items_of_generation(schedule, stage, optimizer->population());
  const int64_t before = begun             ? context.saved_first_generation
                         : context.evolved ? number_of(*context.evolved, "generations")
                                           : 0;
  const int64_t first = std::max(before, optimizer->generation());
  Progress progress("evolve " + name, static_cast<uint64_t>(stage.generations * items), "items");
  std::string latest;
  std::string validated;
  int64_t reached = 0;
  evolution::CoordinatorOptions options;
  options.config_sha256 = context.identity;
  options.schedule = schedule;
  options.stage = static_cast<int32_t>(index);
  options.first_generation = before;
  options.origin = text_of(tasks_of_answer(start.tasks, stage));
  options.stop_requested = interrupt_requested;
  options.on_progress = [&](const evolution::ItemId& batch, int64_t done, int64_t total) {
    // Calibration comes before the first population, validation after one.
    const bool population = batch.purpose == evolution::Purpose::population;
    const int64_t of_generation = population ? std::min(done, items)
                                  : batch.purpose == evolution::Purpose::calibrate || batch.variant != 0
                                      ? 0
                                      : items;
    const int64_t told = std::max<int64_t>(batch.generation - first, 0) * items;
    // The reference of the validation is numbered as the first generation.
    reached = std::max(reached, told + of_generation);
    progress.update(static_cast<uint64_t>(reached),
                    format_text("generation {}/{}, {} {}/{}{}{}", batch.generation - first, stage.generations,
                                evolution::to_string(batch.purpose), done, total, latest, validated));
  };
  options.on_generation = [&](const evolution::GenerationRow& row) {
    const auto rounded = [](double value) { return std::round(value * 1e4) / 1e4; };
    latest = format_text(", best {}, mean {}, cache {} %", rounded(row.best), rounded(row.mean),
                         std::round(row.cache_fraction * 1e3) / 10);
    if (row.validation) validated = format_text(", validation {}", rounded(*row.validation));
    const int64_t left = stage.generations - (row.generation - first + 1);
    if (context.json_progress) {
      terminal_print_line(to_json_text(generation_json(row, left)));
    } else {
      log_info(generation_line(name, row, left));
    }
  };
  evolution::Coordinator coordinator(options, directory, *context.queue);
  const evolution::EvolveSettings settings{stage.generations, stage.validation.every};
  const auto outcome = coordinator.evolve(problem, *optimizer, settings);

  auto answer = outcome.best.mean.empty() ? outcome.mean : outcome.best.mean;
  double shift = 0;
  if (!stage.validation.bias_shifts.empty()) {
    shift = choose_shift(context, problem, coordinator, index, answer, outcome, stage.validation.bias_shifts);
    answer = with_shifted_biases(answer, context.config.memory, shift);
  }
  progress.finish();

  memory::MemoryFile file;
  file.config = context.config.memory;
  file.parameters.assign(answer.begin(), answer.end());
  file.statistics = memory::FeatureStatistics::from_values(statistics_of(outcome.statistics));
  file.provenance = {{"run", directory.name()},
                     {"stage", name},
                     {"stage_index", std::to_string(index)},
                     {"optimizer", optimizer->kind()},
                     {"seed", std::to_string(context.config.seed)},
                     {"generations", std::to_string(outcome.generation)},
                     {"best_generation", std::to_string(outcome.best.generation)},
                     {"validation", format_text("{}", outcome.best.validation)},
                     {"bias_shift", format_text("{}", shift)},
                     {"sigma", core_float_text(optimizer->sigma())},
                     {"state_sha256", outcome.state_sha256},
                     {"config_sha256", context.identity},
                     {"model_sha256", context.evaluation->archive().sha256()},
                     {"git_revision", build_info().git_revision}};
  set_evolved_tasks(file, parse_tasks(outcome.origin));
  file.save(answer_path);
  publish_answer(context, directory, file, index);
  evolution::discard_journal(directory, shift_batch(index, outcome.generation));
  log_info(format_text("{}: the mean after generation {} is the answer: {}", name, outcome.best.generation,
                       answer_path.string()));
  context.evolved = std::move(file);
}

}  // namespace namm::experiments
