#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "evolution/queue_status.h"

namespace namm::experiments {

/// The runs of a queue as `namm status nats://...` shows them. Scores and generation are those of the last
/// row that the run's coordinator has reported; what cannot be read of it is left out.
nlohmann::ordered_json to_json(const std::vector<evolution::QueuedRun>& runs);
std::string to_text(const std::vector<evolution::QueuedRun>& runs);

}  // namespace namm::experiments
