#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <c10/core/Device.h>

#include "core/config.h"
#include "evolution/queues/nats_address.h"
#include "experiments/experiment.h"

namespace namm::experiments {

/// Folder of the runs that are given no directory of their own: runs/ in the working directory.
std::filesystem::path runs_folder();

struct RunOptions {
  std::filesystem::path
      out;          ///< run directory; empty: runs/<name>, or the first of <name>-2, ... that is free
  int threads = 0;  ///< items in flight; 0: one a core
  c10::Device device = c10::kCPU;
  std::optional<evolution::NatsAddress> queue;  ///< workers elsewhere; `device` is then theirs
  bool json_progress = false;                   ///< a generation's line is its row as JSON
  std::vector<std::string> command_line;
};

/// Runs all stages of a new run and returns its directory. Throws ConfigError, DataError (nothing is left
/// behind by either), InfrastructureError, Interrupted (the run can be resumed).
std::filesystem::path start_run(const ExperimentConfig& config, const RunOptions& options);

/// Goes on with a run, exactly as if it had never stopped; a complete run is left as it is. `expected`: the
/// config that the directory must belong to, where the user named one (ConfigError else); its `queue`
/// settings are those that the run goes on with.
std::filesystem::path resume_run(const std::filesystem::path& directory,
                                 const std::optional<ExperimentConfig>& expected, const RunOptions& options);

/// What `--threads 0` means here.
int default_threads();

}  // namespace namm::experiments
