#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "tasks/scoring/settings.h"

namespace namm::tasks {

/// The released NAMM code's scorer of ChouBun on a predictions file (<dataset>.jsonl, or any name with
/// `dataset` given) or on a folder of them. The document has "dictionary", package and version: the scores
/// depend on it. Entries are {"dataset", "metric", "score", "samples"}, `score` 100 x mean, not rounded.
/// Throws as score_predictions.
nlohmann::ordered_json score_choubun(const std::filesystem::path& predictions,
                                     const std::optional<std::string>& dataset,
                                     const ScoreSettings& settings);

/// Records id, metric, pred, answers.
nlohmann::ordered_json score_choubun_cases(const std::filesystem::path& cases, const ScoreSettings& settings);

}  // namespace namm::tasks
