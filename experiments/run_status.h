#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "experiments/generation_line.h"

namespace namm::experiments {

/// A batch of items that a stage is gathering, as its journal tells.
struct BatchStatus {
  std::string purpose;           ///< evolution::to_string
  int64_t generation = 0;        ///< counted through all stages
  int64_t variant = 0;           ///< ItemId::variant
  int64_t done = 0;              ///< items whose result is on the disk
  std::optional<int64_t> total;  ///< nothing: the stage's tasks cannot be opened here
  double mean_seconds = 0;       ///< of an item
  int64_t workers = 0;           ///< that handed in results
};

/// Where one stage stands.
struct StageStatus {
  std::string name;
  bool evolves = false;
  std::string state;  ///< complete | begun | waiting
  std::vector<BatchStatus> batches;

  // Evolve stages, from log.jsonl.
  int64_t generations = 0;      ///< of the stage
  int64_t told = 0;             ///< generations done
  int64_t next_generation = 0;  ///< counted through all stages; 0 where none is told
  GenerationScores scores;      ///< of the last generation; the last validation
  std::optional<double> best_validation;
  int64_t best_generation = -1;  ///< generations of the run told when the mean was validated best
  Pace pace;
  int64_t reissued = 0;                ///< items published again, over all generations
  std::optional<double> seconds_left;  ///< of this stage at that pace
};

/// Where a run stands.
struct RunStatus {
  std::filesystem::path path;
  std::string name;                            ///< of the experiment
  std::string state;                           ///< running | stopped | complete
  std::optional<double> seconds_since_change;  ///< of its newest file
  std::vector<StageStatus> stages;
  std::string checkpoint;             ///< the newest one's file name; empty: none yet
  std::vector<std::string> problems;  ///< damage that was found, a sentence each
};

/// Reads the directory of a run, also while the run goes on, and changes nothing. Throws DataError when it is
/// missing, ConfigError when its config.yaml cannot be read; anything else that is damaged stands in
/// `problems`.
RunStatus read_run_status(const std::filesystem::path& path);

nlohmann::ordered_json to_json(const RunStatus& status);
/// For people.
std::string to_text(const RunStatus& status);

}  // namespace namm::experiments
