#pragma once

#include <optional>
#include <string>
#include <vector>

#include "evolution/queue_status.h"
#include "evolution/queues/nats_client.h"
#include "evolution/run_announcement.h"

namespace namm::evolution::nats {

/// Runs that a server knows, in alphabetical order; announcements that are none are passed over.
std::vector<RunAnnouncement> announced_runs(NatsClient& client);
std::optional<RunAnnouncement> announced_run(NatsClient& client, const std::string& run);

std::string to_json_text(const WorkerPresence& presence);

/// Asks all workers of each run; those that answer within a second.
std::vector<std::vector<WorkerPresence>> ask_workers(NatsClient& client,
                                                     const std::vector<std::string>& runs);
std::vector<WorkerPresence> ask_workers(NatsClient& client, const std::string& run);

}  // namespace namm::evolution::nats
