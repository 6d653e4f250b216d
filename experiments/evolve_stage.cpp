#include "experiments/evolve_stage.h"

#include <algorithm>
#include <cmath>

#include "core/build_info.h"
#include "core/config_scalar.h"
#include "core/errors.h"
#include "core/interrupt.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/text.h"
#include "evolution/coordinator.h"
#include "experiments/evolve_progress.h"
#include "experiments/fitness.h"
#include "experiments/generation_line.h"
#include "experiments/memory_source.h"
#include "experiments/stage_answer.h"
#include "experiments/stage_start.h"
#include "experiments/stage_work.h"

namespace namm::experiments {

namespace {

/// Tasks of the answer of a stage that begins so.
EvolvedTasks tasks_of_answer(EvolvedTasks tasks, const EvolveConfig& stage) {
  if (!tasks) return std::nullopt;
  for (const auto& task : stage.tasks) {
    if (std::find(tasks->begin(), tasks->end(), task) == tasks->end()) tasks->push_back(task);
  }
  return tasks;
}

/// The batch in which shifts of the score's bias are compared. Variant 1 keeps it apart from the validation
/// of the mean itself.
evolution::ItemId shift_batch(size_t index, int64_t generation) {
  return {static_cast<int32_t>(index), evolution::Purpose::validation, generation, 1, 0};
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

/// The answer of a stage, and where it comes from as far as context and outcome tell.
memory::MemoryFile make_answer(const RunContext& context, size_t index,
                               const evolution::StageOutcome& outcome,
                               const std::vector<double>& parameters) {
  memory::MemoryFile file;
  file.config = context.config.memory;
  file.parameters.assign(parameters.begin(), parameters.end());
  file.statistics = memory::FeatureStatistics::from_values(statistics_of(outcome.statistics));
  file.provenance = {{"stage", context.config.stage_name(index)},
                     {"stage_index", std::to_string(index)},
                     {"seed", std::to_string(context.config.seed)},
                     {"generations", std::to_string(outcome.generation)},
                     {"best_generation", std::to_string(outcome.best.generation)},
                     {"validation", format_text("{}", outcome.best.validation)},
                     {"state_sha256", outcome.state_sha256},
                     {"config_sha256", context.identity},
                     {"model_sha256", context.evaluation->archive().sha256()},
                     {"git_revision", build_info().git_revision}};
  set_evolved_tasks(file, parse_tasks(outcome.origin));
  return file;
}

/// Whether stage `index` has its answer already, which then stands in `context.evolved`. Throws DataError
/// where it is missing although a later stage has begun.
bool take_answer(RunContext& context, const RunDirectory& directory, size_t index) {
  const std::string name = context.config.stage_name(index);
  const auto path = answer_file(context.config, directory, index);
  std::error_code error;
  if (std::filesystem::exists(path, error)) {
    context.evolved = load_answer(context, path);
    publish_answer(context, directory, *context.evolved, index);
    evolution::discard_journal(directory, shift_batch(index, generations_of(*context.evolved)));
    log_info(name + ": already evolved");
    return true;
  }
  if (context.saved_stage > static_cast<int64_t>(index)) {
    throw DataError(
        format_text("{}: the answer of {} is missing although a later stage has begun; put the file "
                    "back, or start anew with another --out",
                    path.string(), name));
  }
  return false;
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
  make_stage_optimizer(context, index,
                       from_file ? stage_start(context, index) : start_from_zero(context.config.memory));
}

void run_evolve_stage(RunContext& context, const RunDirectory& directory, size_t index) {
  const EvolveConfig& stage = *context.config.stages[index].evolve;
  if (take_answer(context, directory, index)) return;
  // The checkpoint of a stage that has begun holds all that its start gave.
  const bool begun = context.saved_stage == static_cast<int64_t>(index);
  const StageStart start = begun ? start_from_zero(context.config.memory) : stage_start(context, index);
  const auto& schedule = context.config.evolution.schedule;
  const auto tasks = context.stage_tasks[index]->pointers();
  const MemoryProblem problem(stage, SamplePlan(context.config.seed, tasks), start.statistics);
  const auto optimizer = make_stage_optimizer(context, index, start);

  const int64_t before = begun             ? context.saved_first_generation
                         : context.evolved ? generations_of(*context.evolved)
                                           : 0;
  const int64_t first = std::max(before, optimizer->generation());
  EvolveProgress progress(stage_work(context.config, index, tasks), first, context.json_progress,
                          rows_of_stage(directory.log_rows(), static_cast<int64_t>(index)));
  evolution::CoordinatorOptions options;
  options.config_sha256 = context.identity;
  options.schedule = schedule;
  options.stage = static_cast<int32_t>(index);
  options.first_generation = before;
  options.origin = text_of(tasks_of_answer(start.tasks, stage));
  options.stop_requested = interrupt_requested;
  options.on_progress = [&](const evolution::ItemId& batch, int64_t done, int64_t total) {
    progress.on_items(batch, done, total);
  };
  options.on_generation = [&](const evolution::GenerationRow& row) {
    context.queue->report(to_json_text(progress.on_generation(row)));
  };
  evolution::Coordinator coordinator(options, directory, *context.queue);
  const evolution::EvolveSettings settings{stage.generations, stage.validation.every};
  const auto outcome = coordinator.evolve(problem, *optimizer, settings);

  auto answer = outcome.best.mean;
  double shift = 0;
  if (!stage.validation.bias_shifts.empty()) {
    shift = choose_shift(context, problem, coordinator, index, answer, outcome, stage.validation.bias_shifts);
    answer = with_shifted_biases(answer, context.config.memory, shift);
  }
  progress.finish();

  memory::MemoryFile file = make_answer(context, index, outcome, answer);
  file.provenance.insert({{"run", directory.name()},
                          {"optimizer", optimizer->kind()},
                          {"bias_shift", format_text("{}", shift)},
                          {"sigma", core_float_text(optimizer->sigma())}});
  if (outcome.stop) file.provenance["stop"] = *outcome.stop;
  const auto path = answer_file(context.config, directory, index);
  file.save(path);
  publish_answer(context, directory, file, index);
  evolution::discard_journal(directory, shift_batch(index, outcome.generation));
  log_info(format_text("{}: the mean after generation {} is the answer: {}", context.config.stage_name(index),
                       outcome.best.generation, path.string()));
  context.evolved = std::move(file);
}

}  // namespace namm::experiments
