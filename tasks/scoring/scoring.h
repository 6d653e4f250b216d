#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "tasks/scoring/settings.h"

/// The official scorers on stored predictions: what `namm score` prints.
namespace namm::tasks {

std::vector<std::string> scorable_benchmarks();

/// Scores a predictions file, or a folder of them:
///
///     {"benchmark", "scorer", "settings", "datasets": [{"dataset", "metric", "score", "samples": [...]}],
///      "skipped": [{"dataset", "metric", "reason"}]}
///
/// Samples are in file order, 0 to 1; null where the official function raises, then also the dataset's score.
/// Files of a folder that cannot be scored stand in `skipped`. Throws ConfigError for an unknown benchmark or
/// data set, DataError for missing or malformed files (file:line).
nlohmann::ordered_json score_predictions(std::string_view benchmark, const std::filesystem::path& predictions,
                                         const std::optional<std::string>& dataset,
                                         const ScoreSettings& settings);

/// Scores records that name their own metric or task: one entry a metric in order of first appearance, with
/// "cases": [{"id", "score"}] in file order. Throws as score_predictions.
nlohmann::ordered_json score_cases(std::string_view benchmark, const std::filesystem::path& cases,
                                   const ScoreSettings& settings);

}  // namespace namm::tasks
