#include "experiments/stage_work.h"

#include <algorithm>

#include "core/errors.h"
#include "evolution/optimizer_list.h"
#include "experiments/expected_task.h"
#include "experiments/fitness.h"
#include "experiments/places.h"

namespace namm::experiments {

namespace {

using evolution::Purpose;

/// Rows without values: what `partition` needs.
std::shared_ptr<const evolution::CandidateMatrix> shape_of(int64_t rows, int64_t dimension) {
  return std::make_shared<const evolution::CandidateMatrix>(evolution::CandidateMatrix{rows, dimension, {}});
}

/// Whether the stage begins with the statistics of a file or of the stage before.
bool starts_with_statistics(const ExperimentConfig& config, size_t index) {
  const StartPoint& start = config.stages[index].evolve->start;
  if (start.kind == "file") return true;
  const bool evolved_before = std::any_of(config.stages.begin(), config.stages.begin() + index,
                                          [](const StageConfig& stage) { return stage.evolve.has_value(); });
  return start.kind != "zero" && evolved_before;
}

void cut_evolve_stage(const ExperimentConfig& config, size_t index,
                      const std::vector<const tasks::Task*>& tasks, StageWork& work) {
  const EvolveConfig& stage = *config.stages[index].evolve;
  const auto& schedule = config.evolution.schedule;
  work.parameters = config.memory.parameters();
  const std::vector<double> zero(static_cast<size_t>(work.parameters), 0.0);
  const auto optimizer = evolution::make_optimizer(config.evolution.optimizer, zero, config.seed);
  work.optimizer = optimizer->kind();
  work.population_size = optimizer->population();
  work.generations = stage.generations;
  work.validate_every = stage.validation.every;

  // Statistics of a start are not looked at: that they are there keeps the stage from calibrating.
  const auto statistics = starts_with_statistics(config, index) ? to_arrays({0}) : evolution::NamedArrays{};
  const MemoryProblem problem(stage, SamplePlan(config.seed, tasks), statistics);
  const auto cut = [&](Purpose purpose, int32_t variant, int64_t rows,
                       const std::vector<evolution::SampleId>& samples) {
    const evolution::ItemId id{work.index, purpose, 0, variant, 0};
    if (samples.empty()) return StageWork::Items{};
    return evolution::partition(id, rows == 0 ? nullptr : shape_of(rows, work.parameters), samples,
                                rows == 0 || rows == 1 ? 1 : schedule.members_per_item,
                                schedule.samples_per_item);
  };
  const auto samples = problem.samples(0);
  work.contexts = static_cast<int64_t>(samples.size());
  work.calibration = cut(Purpose::calibrate, 0, 0, problem.calibration_samples());
  work.population = cut(Purpose::population, 0, work.population_size, samples);
  if (problem.needs_reference(Purpose::population)) work.reference = cut(Purpose::reference, 0, 0, samples);
  const auto validation = problem.validation_samples();
  work.validation = cut(Purpose::validation, 0, 1, validation);
  const auto shifts = static_cast<int64_t>(stage.validation.bias_shifts.size());
  if (validation.empty()) return;
  if (problem.needs_reference(Purpose::validation))
    work.validation_reference = cut(Purpose::reference, 1, 0, validation);
  if (shifts > 0) work.shifts = cut(Purpose::validation, 1, shifts, validation);
}

void cut_evaluate_stage(const ExperimentConfig& config, size_t index,
                        const std::vector<const tasks::Task*>& tasks, StageWork& work) {
  const EvaluateConfig& stage = *config.stages[index].evaluate;
  const auto split = stage.split == "test" ? tasks::Split::test : tasks::Split::validation;
  const auto samples = SamplePlan(config.seed, tasks).first(split, config.contexts_of(stage));
  work.contexts = static_cast<int64_t>(samples.size());
  work.test = evolution::partition({work.index, Purpose::test, 0, 0, 0}, nullptr, samples, 1, 1);
}

/// Whether a task has what it reads: generated ones, and benchmarks whose records are there.
bool has_records(const std::string& name, const tasks::TaskConfig& settings, tasks::DataConfig data) {
  data.prompts = data.infinitebench_prompts = data.choubun_prompts = {};
  return name.starts_with("needle/") || !tasks::task_files(name, settings, data).empty();
}

}  // namespace

std::vector<const tasks::Task*> ExpectedTasks::pointers() const {
  std::vector<const tasks::Task*> list;
  for (const auto& task : tasks) list.push_back(task.get());
  return list;
}

ExpectedTasks open_or_expect_tasks(const ExperimentConfig& config, size_t index, int64_t max_positions) {
  const StageConfig& stage = config.stages[index];
  const auto settings =
      stage.evolve
          ? config.task_config(stage.evolve->context_tokens, stage.evolve->questions_per_context)
          : config.task_config(stage.evaluate->context_tokens, stage.evaluate->questions_per_context);
  tasks::DataConfig data = config.data;
  if (data.dictionaries.empty()) data.dictionaries.value = dictionaries_folder();
  ExpectedTasks opened;
  for (const auto& name : stage.evolve ? stage.evolve->tasks : stage.evaluate->tasks) {
    const bool there = has_records(name, settings, data);
    opened.tasks.push_back(there ? tasks::make_task(name, settings, data, max_positions)
                                 : make_expected_task(name, settings));
    if (!there) opened.missing.push_back(name);
  }
  return opened;
}

bool StageWork::validates_after(int64_t told) const {
  return validate_every > 0 && !validation.empty() && (told % validate_every == 0 || told == generations);
}

int64_t StageWork::validations() const {
  int64_t count = 0;
  for (int64_t told = 1; told <= generations; ++told) count += validates_after(told) ? 1 : 0;
  return count;
}

std::vector<const StageWork::Items*> StageWork::all_items() const {
  return {&calibration, &population, &reference, &validation_reference, &validation, &shifts, &test};
}

int64_t StageWork::items() const {
  if (!evolves) return std::ssize(test);
  return std::ssize(calibration) + generations * (std::ssize(population) + std::ssize(reference)) +
         std::ssize(validation_reference) + validations() * std::ssize(validation) + std::ssize(shifts);
}

StageWork stage_work(const ExperimentConfig& config, size_t index,
                     const std::vector<const tasks::Task*>& tasks) {
  const StageConfig& stage = config.stages.at(index);
  StageWork work;
  work.name = config.stage_name(index);
  work.index = static_cast<int32_t>(index);
  work.evolves = stage.evolve.has_value();
  work.tasks = stage.evolve ? stage.evolve->tasks : stage.evaluate->tasks;
  if (stage.evolve) {
    cut_evolve_stage(config, index, tasks, work);
  } else {
    cut_evaluate_stage(config, index, tasks, work);
  }
  return work;
}

}  // namespace namm::experiments
