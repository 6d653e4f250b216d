#pragma once

#include <exception>
#include <string>

#include "evolution/worker.h"

namespace namm::experiments {

/// What was asked for, and the settings to lower.
std::string out_of_memory_advice(const std::exception& error);

/// Evaluates an item; where memory runs out, once more in two halves (of its members, or of the samples of
/// one member), one after the other. Halves are other batch shapes and may round differently, so this is
/// told. Throws InfrastructureError, with the settings to lower, when that is not enough or the item cannot
/// be cut; other errors of LibTorch as InfrastructureError in one short text.
evolution::WorkResult evaluate_within_memory(const evolution::Evaluator& evaluate,
                                             const evolution::WorkItem& item);

}  // namespace namm::experiments
