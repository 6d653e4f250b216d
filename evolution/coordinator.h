#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/run_directory.h"
#include "evolution/batch.h"
#include "evolution/checkpoint.h"
#include "evolution/evolution_config.h"
#include "evolution/evolution_problem.h"
#include "evolution/generation_row.h"
#include "evolution/optimizer.h"
#include "evolution/queue.h"
#include "evolution/record_table.h"

namespace namm::evolution {

struct EvolveSettings {
  int64_t generations = 1;     ///< of this stage
  int64_t validate_every = 0;  ///< generations; the mean after the last one is validated too. 0: never
};

struct CoordinatorOptions : BatchOptions {
  ScheduleConfig schedule;
  int32_t stage = 0;
  int64_t first_generation = 0;  ///< generations of the stages before, as far as the caller knows them
  std::string origin;  ///< Checkpoint::origin of a stage that begins now; a resumed one keeps its own
  std::function<void(const GenerationRow&)>
      on_generation;  ///< after the row stands in log.jsonl; may be empty
};

struct StageOutcome {
  std::vector<double> mean;  ///< [n], the optimiser's mean after the last generation
  BestMean best;             ///< best on validation; without validation the last mean
  NamedArrays statistics;
  std::string origin;                               ///< CoordinatorOptions::origin of when the stage began
  std::optional<RecordTable> validation_reference;  ///< where the validation needs one and samples exist
  int64_t generation = 0;                           ///< generations told
  std::optional<std::string> stop;                  ///< why the optimiser ended the stage before its time
  std::string state_sha256;
};

/// Owns a stage: publishes items, journals results, reduces them in fixed order, is the only writer of the
/// optimiser's state.
class Coordinator {
 public:
  /// `run` and `queue` must outlive the coordinator.
  Coordinator(CoordinatorOptions options, const RunDirectory& run, Queue& queue);

  /// `compute_batch` on this queue; no items, no results.
  std::vector<WorkResult> run_batch(std::vector<WorkItem> items);

  /// Runs, or resumes, an evolve stage: newest complete checkpoint, journal of the running generation, log
  /// rows without a checkpoint dropped. A stage that is complete is not run again.
  ///
  /// A run counts its generations through all stages (a later stage begins where the one before ended, or at
  /// `first_generation` or the optimiser's own count where those are higher): this number names checkpoints,
  /// log rows, items and samples.
  ///
  /// Throws as `run_batch`; InfrastructureError also when every fitness of a generation is NaN or infinite;
  /// DataError when checkpoints belong to another configuration or are missing although the log has rows.
  StageOutcome evolve(const EvolutionProblem& problem, Optimizer& optimizer, const EvolveSettings& settings);

 private:
  CoordinatorOptions options_;
  const RunDirectory& run_;
  Queue& queue_;
  BatchCounts counts_;
};

}  // namespace namm::evolution
