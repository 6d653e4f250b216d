#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "evolution/queue_status.h"

namespace namm::experiments {

/// The runs of a queue as `namm status nats://...` shows them. Scores, generation and time left are those of
/// the last row that the run has reported (generation_json); what cannot be read of it is left out. Only of a
/// run that goes on is a time left.
nlohmann::ordered_json to_json(const std::vector<evolution::QueuedRun>& runs);
std::string to_text(const std::vector<evolution::QueuedRun>& runs);

}  // namespace namm::experiments
