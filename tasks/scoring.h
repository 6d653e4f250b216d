#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "tasks/metrics/metric_list.h"

/// The official scorers on stored predictions: what `namm score` prints.
namespace namm::tasks {

struct ScoreSettings {
  MetricOptions metric = {};
  bool buckets =
      false;  ///< LongBench-E: dataset scores by the records' `length` (below 4,000, 8,000, the rest)
  bool skip_bad_records = false;
  int jobs = 1;  ///< threads; the results do not depend on it
};

/// Takes `key=value` texts of `--set`: rouge_recursion_limit, edit_similarity, buckets, skip_bad_records.
/// Throws ConfigError with the list for others.
ScoreSettings parse_score_settings(const std::vector<std::string>& assignments);

/// Throws ConfigError unless `benchmark` can be scored ("longbench").
void require_scorable(const std::string& benchmark);

/// LongBench's eval.py on a predictions file (<dataset>.jsonl, or any name with `dataset` given) or on a
/// folder of them:
///
///     {"benchmark", "scorer", "settings", "datasets": [{"dataset", "metric", "post", "score", "mean",
///     "samples": [...]}],
///      "skipped": [{"dataset", "metric", "reason"}]}
///
/// `score` as the official script prints it (percent, rounded to 2; by bucket with `buckets`, null for an
/// empty one), `mean` without rounding, samples in file order; null where the official function raises, then
/// also the dataset's score. Data sets of a folder whose metric is not supported, and files that are no
/// LongBench data set, stand in `skipped`. Throws ConfigError for a single such file, DataError for missing
/// or malformed files (file:line).
nlohmann::ordered_json score_longbench(const std::filesystem::path& predictions,
                                       const std::optional<std::string>& dataset,
                                       const ScoreSettings& settings);

/// Scores records that name their own metric: id, metric, pred, answers, all_classes, and either `post`
/// ("first_line", "none") or `dataset`. One entry a metric, in order of first appearance, with "cases":
/// [{"id", "score"}] in file order; an unsupported metric's entry has "skipped", the reason, and null scores.
nlohmann::ordered_json score_cases(const std::filesystem::path& cases, const ScoreSettings& settings);

/// Python's round(100 * total / n, 2) of the scores added in order: how LongBench reports a data set.
double official_percentage(const std::vector<double>& scores);

/// numpy's round(100 * mean, 2) of the scores: how LongBench-E reports a bucket. Not empty.
double official_bucket_percentage(const std::vector<double>& scores);

}  // namespace namm::tasks
