#include "experiments/stage_work.h"

#include <algorithm>

#include "core/errors.h"
#include "evolution/optimizer_list.h"
#include "experiments/expected_task.h"
#include "experiments/fitness.h"

namespace namm::experiments {

namespace {

using evolution::Purpose;

/// Rows that are not here: what `partition` needs.
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
  const auto optimizer = evolution::resolve_optimizer(config.evolution.optimizer, work.parameters);
  work.optimizer = optimizer.kind;
  work.population_size = optimizer.population;
  work.reevaluations = optimizer.reevaluations;
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
  if (work.reevaluations > 0)
    work.later_population = cut(Purpose::population, 0, work.population_size + work.reevaluations, samples);
  if (problem.needs_reference(Purpose::population)) work.reference = cut(Purpose::reference, 0, 0, samples);
  const auto validation = problem.validation_samples();
  work.validation_contexts = std::ssize(validation);
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
  const auto settings = config.task_config(stage);
  const tasks::DataConfig data = config.data_with_dictionaries();
  ExpectedTasks opened;
  for (const auto& name : stage.tasks()) {
    const bool there = has_records(name, settings, data);
    opened.tasks.push_back(there ? tasks::make_task(name, settings, data, max_positions)
                                 : make_expected_task(name, settings));
    if (!there) opened.missing.push_back(name);
  }
  return opened;
}

ExpectedTasks expect_tasks(const ExperimentConfig& config, size_t index) {
  const StageConfig& stage = config.stages[index];
  const auto settings = config.task_config(stage);
  ExpectedTasks expected;
  for (const auto& name : stage.tasks()) expected.tasks.push_back(make_expected_task(name, settings));
  return expected;
}

bool StageWork::validates_after(int64_t told) const {
  return validate_every > 0 && !validation.empty() && (told % validate_every == 0 || told == generations);
}

int64_t StageWork::validations(int64_t told) const {
  if (validate_every == 0 || validation.empty()) return 0;
  const bool last_beside = told >= generations && generations % validate_every != 0;
  return told / validate_every + (last_beside ? 1 : 0);
}

int64_t StageWork::generation_items(int64_t told) const {
  return std::ssize(population_of(told)) + std::ssize(reference);
}

std::vector<const StageWork::Items*> StageWork::all_items() const {
  return {&calibration,          &population, &later_population, &reference,
          &validation_reference, &validation, &shifts,           &test};
}

int64_t StageWork::items_of(const evolution::ItemId& batch, int64_t told) const {
  switch (batch.purpose) {
    case Purpose::calibrate:
      return std::ssize(calibration);
    case Purpose::population:
      return generation_items(told);
    case Purpose::reference:
      return std::ssize(validation_reference);
    case Purpose::validation:
      return batch.variant == 0 ? std::ssize(validation) : std::ssize(shifts);
    case Purpose::test:
      return std::ssize(test);
  }
  return 0;
}

int64_t StageWork::items_told(int64_t told) const {
  const int64_t count = validations(told);
  const int64_t populations = told == 0 ? 0 : generation_items(0) + (told - 1) * generation_items(1);
  return std::ssize(calibration) + populations + (count > 0 ? std::ssize(validation_reference) : 0) +
         count * std::ssize(validation);
}

int64_t StageWork::items() const {
  return evolves ? items_told(generations) + std::ssize(shifts) : std::ssize(test);
}

StageWork stage_work(const ExperimentConfig& config, size_t index,
                     const std::vector<const tasks::Task*>& tasks) {
  const StageConfig& stage = config.stages.at(index);
  StageWork work;
  work.name = config.stage_name(index);
  work.index = static_cast<int32_t>(index);
  work.evolves = stage.evolve.has_value();
  work.tasks = stage.tasks();
  if (stage.evolve) {
    cut_evolve_stage(config, index, tasks, work);
  } else {
    cut_evaluate_stage(config, index, tasks, work);
  }
  return work;
}

}  // namespace namm::experiments
