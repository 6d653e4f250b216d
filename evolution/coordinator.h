#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/run_directory.h"
#include "evolution/checkpoint.h"
#include "evolution/evolution_config.h"
#include "evolution/optimizer.h"
#include "evolution/queue.h"

namespace namm::evolution {

/// Records of a batch in fixed order: [rows, samples]. A view of the gathered results.
class RecordTable {
 public:
  /// Every record empty.
  RecordTable(int64_t rows, std::vector<SampleId> samples);
  int64_t rows() const { return rows_; }
  const std::vector<SampleId>& samples() const { return samples_; }
  /// Throws std::out_of_range.
  const Record& at(int64_t row, int64_t sample) const;
  void set(int64_t row, int64_t sample, Record record);

 private:
  int64_t rows_;
  std::vector<SampleId> samples_;
  std::vector<Record> records_;
};

/// What a problem makes of a table: fitness [rows], and numbers for the log row.
struct Reduction {
  std::vector<double> fitness;
  double cache_fraction = 1;
  std::vector<std::pair<std::string, double>> extra;  ///< further log columns, in this order
};

/// What `experiments` supplies. Everything must be a pure function of its arguments and the configuration: it
/// is called again after a crash and must give the same.
class EvolutionProblem {
 public:
  virtual ~EvolutionProblem() = default;

  /// Samples of a generation, the same for all members. A task's samples stand together.
  virtual std::vector<SampleId> samples(int64_t generation) const = 0;

  /// Samples on which the mean is validated; empty: no validation.
  virtual std::vector<SampleId> validation_samples() const { return {}; }

  /// Samples of the pass before generation 0 that collects normalisation statistics; empty: no such pass.
  virtual std::vector<SampleId> calibration_samples() const { return {}; }

  /// Merges the items' results, given in item order, into the statistics that the checkpoint keeps. Called
  /// with no result where there is no such pass: then it gives the statistics that the stage starts with
  /// (default: none).
  virtual NamedArrays merge_calibration(std::span<const WorkResult> results) const;

  /// Whether the samples of a purpose (population, validation) are also scored by a reference (the full
  /// cache).
  virtual bool needs_reference(Purpose /*purpose*/) const { return false; }

  /// Opaque bytes that every item of a batch carries; here the encoded statistics (`decode_arrays` reads
  /// them).
  virtual std::string shared_bytes(Purpose purpose, const NamedArrays& statistics) const;

  /// Fitness of each row of `table`, reduced in fixed order in float64; `reference` has one row, null without
  /// reference.
  virtual Reduction reduce(const RecordTable& table, const RecordTable* reference) const = 0;

  /// What a validation of the mean is worth (fitness [1]); by default what the population is judged by.
  virtual Reduction reduce_validation(const RecordTable& table, const RecordTable* reference) const {
    return reduce(table, reference);
  }
};

struct EvolveSettings {
  int64_t generations = 1;     ///< of this stage
  int64_t validate_every = 0;  ///< generations; the mean after the last one is validated too. 0: never
};

/// One row of log.jsonl.
struct GenerationRow {
  int64_t generation = 0;
  int32_t stage = 0;
  double best = 0, mean = 0, median = 0;  ///< over the finite fitness values
  double sigma = 0;                       ///< after the update
  double cache_fraction = 1;
  int64_t evaluations = 0;  ///< (member, sample) pairs of the generation
  int64_t non_finite = 0;
  int64_t reissued = 0;  ///< items handed out again: after a failure, or because a worker was lost
  int64_t workers = 0;   ///< that contributed to the generation
  double seconds = 0;
  std::string state_sha256;          ///< of the checkpoint after this generation
  std::optional<double> validation;  ///< of the mean after this generation, when it was due
  std::vector<std::pair<std::string, double>> extra;
};

/// The row as it stands in log.jsonl.
nlohmann::json to_json(const GenerationRow& row);

struct CoordinatorOptions {
  std::string config_sha256;  ///< a checkpoint or journal of another configuration is refused
  ScheduleConfig schedule;
  int32_t stage = 0;
  int64_t first_generation = 0;  ///< generations of the stages before, as far as the caller knows them
  std::string origin;  ///< Checkpoint::origin of a stage that begins now; a resumed one keeps its own
  int attempts = 3;    ///< failures of one item that stop the run
  std::function<bool()> stop_requested;  ///< Ctrl-C (interrupt_requested of core); may be empty
  /// After every result: the batch (an ItemId whose `index` is 0), items done, items in all. May be empty.
  std::function<void(const ItemId& batch, int64_t done, int64_t total)> on_progress;
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
  std::string state_sha256;
};

/// Totals over the batches of a coordinator.
struct BatchCounts {
  int64_t reissued = 0;           ///< items handed out again
  std::set<std::string> workers;  ///< whose results counted in the running generation
};

/// Owns a stage: publishes items, journals results, reduces them in fixed order, is the only writer of the
/// optimiser's state.
class Coordinator {
 public:
  /// `run` and `queue` must outlive the coordinator.
  Coordinator(CoordinatorOptions options, const RunDirectory& run, Queue& queue);

  /// Has all `items` computed and returns their results in the order of `items` (ids unique, not necessarily
  /// of one purpose). Results already in the journal, which is named after the first item, are taken from
  /// there when their content hash fits; new ones are appended to it before they count. Throws Interrupted
  /// (on a queue inside the process items in hand are journalled first; on one between machines their results
  /// wait there), InfrastructureError (an item failed `attempts` times: named, with the last reason),
  /// ConfigError or DataError as the evaluator threw it.
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

/// Removes the journal of the batch that began with this item, once its outcome is safely stored elsewhere.
void discard_journal(const RunDirectory& run, const ItemId& batch);

/// Puts results into one table [rows, samples]: result i belongs to items[i], as `partition` made them of
/// these samples. Throws InfrastructureError when a record is missing.
RecordTable assemble(std::span<const WorkItem> items, std::span<const WorkResult> results, int64_t rows,
                     const std::vector<SampleId>& samples);

}  // namespace namm::evolution
