#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "evolution/work_item.h"
#include "experiments/experiment.h"
#include "tasks/task.h"

namespace namm::experiments {

/// Tasks of a stage, or what stands in for them.
struct ExpectedTasks {
  std::vector<std::unique_ptr<tasks::Task>> tasks;
  std::vector<std::string> missing;  ///< names of those whose files are not there (make_expected_task)

  std::vector<const tasks::Task*> pointers() const;
};

/// Opens the tasks of stage `index` where their files are there. Throws as tasks::make_task, except for
/// missing files.
ExpectedTasks open_or_expect_tasks(const ExperimentConfig& config, size_t index, int64_t max_positions);

/// Tasks of stage `index` as the configuration and the benchmarks' own descriptions tell; opens no file.
ExpectedTasks expect_tasks(const ExperimentConfig& config, size_t index);

/// The work items of a stage, cut as the stage itself cuts them (SamplePlan, evolution::partition); their
/// candidates have a shape and no values.
struct StageWork {
  using Items = std::vector<evolution::WorkItem>;

  std::string name;
  int32_t index = 0;
  bool evolves = false;
  std::vector<std::string> tasks;  ///< in the order of SampleId::task
  int64_t contexts = 0;            ///< of a generation, or of the evaluation, over all tasks
  int64_t validation_contexts = 0;

  // Evolve stages.
  std::string optimizer;
  int64_t parameters = 0;
  int64_t population_size = 0;
  int64_t reevaluations = 0;  ///< members that later generations have besides
  int64_t generations = 0;
  int64_t validate_every = 0;  ///< 0: never
  Items calibration;           ///< once, at the start; empty where the start brings its statistics
  Items population;            ///< of the stage's first generation
  Items later_population;      ///< of every later one, where members are evaluated again; else empty
  Items reference;             ///< the full cache on the same samples, in the same batch; may be empty
  Items validation_reference;  ///< once, before the first validation
  Items validation;            ///< of the mean
  Items shifts;                ///< once, at the end: shifts of the score's bias

  // Evaluate stages.
  Items test;

  /// Whether the mean is validated when `told` generations of the stage are told (as Coordinator::evolve).
  bool validates_after(int64_t told) const;
  /// Validations of the mean until `told` generations are told.
  int64_t validations(int64_t told) const;
  /// Items of the population when `told` generations of the stage are told.
  const Items& population_of(int64_t told) const {
    return told == 0 || reevaluations == 0 ? population : later_population;
  }
  /// The same with its reference.
  int64_t generation_items(int64_t told) const;
  /// Every list of items above.
  std::vector<const Items*> all_items() const;
  /// Items of the batch that this one belongs to, when `told` generations of the stage are told.
  int64_t items_of(const evolution::ItemId& batch, int64_t told) const;
  /// Items that an evolve stage has computed when `told` generations are told, their validations included.
  int64_t items_told(int64_t told) const;
  /// Items of the whole stage.
  int64_t items() const;
};

/// Throws ConfigError as the stage would for its samples and its optimiser.
StageWork stage_work(const ExperimentConfig& config, size_t index,
                     const std::vector<const tasks::Task*>& tasks);

}  // namespace namm::experiments
