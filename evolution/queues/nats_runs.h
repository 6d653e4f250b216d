#pragma once

#include <vector>

#include "evolution/queues/nats_client.h"
#include "evolution/run_announcement.h"

namespace namm::evolution::nats {

/// Runs that a server knows, in alphabetical order; announcements that are none are passed over.
std::vector<RunAnnouncement> announced_runs(NatsClient& client);

}  // namespace namm::evolution::nats
