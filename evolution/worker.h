#pragma once

#include <functional>
#include <optional>
#include <string>

#include "evolution/queue.h"

namespace namm::evolution {

/// Computes an item: fills `records` (rows x samples) and `bytes`; the worker loop fills in the rest. What it
/// throws becomes a failure record: anything but ConfigError and DataError is tried again; these end a run
/// whose workers are threads of its process at once, with their own text, and count as failures elsewhere,
/// where they may be about one machine's files.
using Evaluator = std::function<WorkResult(const WorkItem&)>;

/// Makes the evaluator of one worker; called on the worker's own thread, at its first item.
using EvaluatorFactory = std::function<Evaluator()>;

/// Claims, evaluates and posts until the source is closed. `name` goes into results and messages. Ends sooner
/// after an item that failed by ConfigError or DataError: the worker should look at what it was given again.
/// Returns that failure's text.
std::optional<std::string> run_worker(ItemSource& source, const EvaluatorFactory& factory,
                                      const std::string& name);

}  // namespace namm::evolution
