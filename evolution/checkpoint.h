#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/run_directory.h"
#include "evolution/optimizer.h"
#include "evolution/work_item.h"

namespace namm::evolution {

/// The best mean seen on validation.
struct BestMean {
  int64_t generation = -1;  ///< generations told when it was the mean; -1: no validation yet
  double validation = 0;
  std::vector<double> mean;  ///< [n], empty before the first validation
};

/// Everything that a run needs to go on, taken before a generation is published.
struct Checkpoint {
  int32_t stage = 0;
  int64_t first_generation = 0;  ///< where the stage began
  int64_t generation = 0;        ///< the generation to publish next
  std::string config_sha256;
  OptimizerState optimizer;
  std::vector<SampleId> samples;  ///< of `generation`
  NamedArrays statistics;         ///< opaque: normalisation statistics
  std::string origin;             ///< opaque: what the stage's start and the stage itself evolved on
  BestMean best;
  std::string log_row;  ///< row of log.jsonl of the generation before, as JSON; empty: there is none

  /// SHA-256 over optimiser state, sample ids and statistics. No timings, nothing of where or how it ran.
  std::string state_sha256() const;
};

/// Temporary name, fsync, rename. Throws InfrastructureError (disk); an older file of that name survives a
/// failure. `state_sha256`: the checkpoint's, where the caller has it already.
void write_checkpoint(const std::filesystem::path& file, const Checkpoint& checkpoint,
                      std::string state_sha256 = "");

/// Throws DataError: missing, truncated, of another format version, or with another content than its stored
/// hash says.
Checkpoint read_checkpoint(const std::filesystem::path& file);

/// The newest checkpoint of a run that can be read; newer ones that cannot are named in the log. Nothing: the
/// run has none at all. Throws DataError when there are files and none can be read.
std::optional<Checkpoint> newest_checkpoint(const RunDirectory& run);

}  // namespace namm::evolution
