#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "evolution/queues/nats_address.h"
#include "evolution/run_announcement.h"

namespace namm::evolution {

/// What a worker's process says of itself.
struct WorkerPresence {
  std::string name;
  int64_t items = 0;    ///< evaluated for the run
  int64_t in_hand = 0;  ///< being evaluated now
};

/// Where a run on a queue stands.
struct QueuedRun {
  RunAnnouncement announcement;
  bool coordinated = false;             ///< a coordinator holds the run
  std::string batch;                    ///< what is computed, in words; empty: nothing yet
  std::string row;                      ///< what Queue::report was given last; empty: nothing yet
  int64_t open_items = 0;               ///< published and not answered, those in hand included
  int64_t items_in_hand = 0;            ///< of workers
  std::vector<WorkerPresence> workers;  ///< processes that answer now
};

/// Only asks; looks twice, half a lease apart, to tell a coordinator that is alive from one that was killed.
/// A run that is complete at the second look is left out. Throws InfrastructureError without a server,
/// ConfigError where it refuses us.
std::vector<QueuedRun> queued_runs(const NatsAddress& address);

}  // namespace namm::evolution
