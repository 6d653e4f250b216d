#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "tasks/scoring/settings.h"

namespace namm::tasks {

/// InfiniteBench's compute_scores.py on preds_<task>.jsonl (or <task>.jsonl, or any name with `dataset`
/// given) or on a folder of them. Records hold `prediction` or `pred`, and `ground_truth` or `label`: which
/// of the two is looked for is decided by the first record, as in the official reader; a later one without it
/// is scored against ten X. `score` is the plain mean of the samples, a fraction. Throws as
/// score_predictions.
nlohmann::ordered_json score_infinitebench(const std::filesystem::path& predictions,
                                           const std::optional<std::string>& dataset,
                                           const ScoreSettings& settings);

/// Records id, task, prediction, ground_truth, and perhaps a model_name of their own.
nlohmann::ordered_json score_infinitebench_cases(const std::filesystem::path& cases,
                                                 const ScoreSettings& settings);

}  // namespace namm::tasks
