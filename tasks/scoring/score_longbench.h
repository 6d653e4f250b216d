#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "tasks/scoring/settings.h"

namespace namm::tasks {

/// LongBench's eval.py on a predictions file (<dataset>.jsonl, or any name with `dataset` given) or on a
/// folder of them. Entries are {"dataset", "metric", "post", "score", "mean", "samples"}: `score` as the
/// official script prints it (percent, rounded to 2; by bucket with `buckets`, null for an empty one), `mean`
/// without rounding; with "dictionary" where the metric cuts words by one. Throws as score_predictions.
nlohmann::ordered_json score_longbench(const std::filesystem::path& predictions,
                                       const std::optional<std::string>& dataset,
                                       const ScoreSettings& settings);

/// Records id, metric, pred, answers, all_classes, and either `post` ("first_line", "none") or `dataset`.
nlohmann::ordered_json score_longbench_cases(const std::filesystem::path& cases,
                                             const ScoreSettings& settings);

}  // namespace namm::tasks
