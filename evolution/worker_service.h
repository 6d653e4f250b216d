#pragma once

#include <functional>
#include <optional>
#include <string>

#include "evolution/queues/nats_address.h"
#include "evolution/run_announcement.h"
#include "evolution/worker.h"

namespace namm::evolution {

struct WorkerServiceOptions {
  NatsAddress address;
  std::string run;   ///< serve this run only; empty: any that is announced
  std::string name;  ///< of this worker in results and messages: host and process
  int items_at_once = 1;
  std::optional<double> idle_limit_seconds;  ///< end after so long without a run to serve; none: never
  double patience_seconds = 30;  ///< about so often: is there another run that needs this worker more?
  std::function<bool()> stop_requested;
};

/// Opens what a run needs (configuration, model, data). ConfigError and DataError: this worker cannot serve
/// it, for this reason.
using OpenRun = std::function<EvaluatorFactory(const RunAnnouncement&)>;

/// Waits for announced runs and evaluates their items, one run at a time, until told to stop: workers may
/// start before the server and before the run. Several runs share the workers: each takes the run with the
/// fewest, and from time to time some leave a run that has more than others whose items wait. A run that
/// `open` refuses is left to others, the reason told here and to the run's coordinator; where `options.run`
/// names it the error is thrown. A stop lets the items in hand end. An item that takes longer than the run's
/// limit is handed in as failed and ends the process with status 4. Throws InfrastructureError when the
/// server takes us back no more. Returns the number of items evaluated.
int64_t serve_runs(const WorkerServiceOptions& options, const OpenRun& open);

}  // namespace namm::evolution
