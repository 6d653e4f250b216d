#pragma once

#include <functional>
#include <string>

#include "evolution/queue.h"

namespace namm::evolution {

/// Computes an item: fills `records` (rows x samples) and `bytes`; the worker loop fills in the rest. What it
/// throws becomes a failure record: ConfigError and DataError end the run at once with their own text,
/// anything else is tried again.
using Evaluator = std::function<WorkResult(const WorkItem&)>;

/// Makes the evaluator of one worker; called on the worker's own thread, at its first item.
using EvaluatorFactory = std::function<Evaluator()>;

/// Claims, evaluates and posts until the source is closed. `name` goes into results and messages.
void run_worker(ItemSource& source, const EvaluatorFactory& factory, const std::string& name);

}  // namespace namm::evolution
