#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/progress.h"
#include "evolution/generation_row.h"
#include "evolution/work_item.h"
#include "experiments/stage_work.h"

namespace namm::experiments {

/// What an evolve stage shows while it runs: a line of the items done, of all that the stage will compute,
/// and a line a generation.
class EvolveProgress {
 public:
  /// `first_generation`: the number of the stage's first generation in the run. `json_rows`: a generation's
  /// line is its row as JSON. `rows`: those that log.jsonl has of the stage already.
  EvolveProgress(StageWork work, int64_t first_generation, bool json_rows,
                 std::vector<nlohmann::json> rows = {});

  /// `done` of `total` items of a batch are there.
  void on_items(const evolution::ItemId& batch, int64_t done, int64_t total);
  /// A generation is told. Returns what there is to say of it (generation_json).
  nlohmann::json on_generation(const evolution::GenerationRow& row);
  void finish() { progress_.finish(); }

  /// Items of the stage that are done when `done` of a batch are (for tests).
  int64_t items_done(const evolution::ItemId& batch, int64_t done) const;
  /// Items of the whole stage, as far as the populations so far tell.
  int64_t items() const;

 private:
  void learn_population(int64_t told, int64_t batch_items);

  StageWork work_;
  int64_t first_generation_;
  bool json_rows_;
  Progress progress_;
  bool begun_ = false;
  int64_t reached_ = 0;  ///< items; the line never goes back
  // Restarts change the population: a generation then has more or fewer items than planned.
  int64_t surplus_ = 0;             ///< items that the generations told had beyond the plan
  int64_t generation_surplus_ = 0;  ///< of the running generation, and of those to come as far as is known
  int64_t told_ = 0;
  std::vector<nlohmann::json> rows_;  ///< of the stage
  std::string latest_;                ///< scores of the last generation, in words
};

}  // namespace namm::experiments
