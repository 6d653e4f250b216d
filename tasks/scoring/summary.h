#pragma once

#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "tasks/scoring/records.h"

/// From the scores of records to what a document says about a data set.
namespace namm::tasks {

nlohmann::ordered_json to_json(const std::optional<double>& score);
nlohmann::ordered_json to_json(const Scores& scores);

/// Adds "skipped_records" and "skipped_reasons", if there are any.
void report_skipped(nlohmann::ordered_json& entry, const SkippedRecords& skipped);

/// Adds "raised", the number of scores that are missing because the official function raises there, if any.
void report_raised(nlohmann::ordered_json& entry, const Scores& scores);

/// The scores, if the official function raised nowhere.
std::optional<std::vector<double>> all_present(const Scores& scores);

/// Sum in order over count, as Python's sum(x) / len(x). Nothing for no scores.
std::optional<double> mean(const std::vector<double>& scores);

/// 100 * total / n of the scores added in order: how the released NAMM code reports a data set. Not empty.
double mean_percentage(const std::vector<double>& scores);

/// Python's round(100 * total / n, 2) of the scores added in order: how LongBench reports a data set.
double official_percentage(const std::vector<double>& scores);

/// numpy's round(100 * mean, 2) of the scores: how LongBench-E reports a bucket. Not empty.
double official_bucket_percentage(const std::vector<double>& scores);

}  // namespace namm::tasks
