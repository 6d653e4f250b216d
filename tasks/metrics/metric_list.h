#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/metrics/code_similarity.h"
#include "tasks/segmentation/segmenters.h"
#include "tasks/text/unicode.h"

namespace namm::tasks {

/// Switches for known differences between installations of the official scorer, and what metrics stand on.
struct MetricOptions {
  std::optional<int64_t> rouge_recursion_limit = {};  ///< none: as the official scorer; 0: never fails
  EditSimilarity edit_similarity = EditSimilarity::difflib;
  std::shared_ptr<const Segmenters> segmenters = {};  ///< for the metrics of Chinese and Japanese
};

/// "difflib" or "levenshtein". Throws ConfigError.
EditSimilarity parse_edit_similarity(std::string_view name);

/// Names of the official metric functions.
std::vector<std::string> metric_names();

/// The dictionary that a metric's value depends on, package and version; "" for a metric without one. Throws
/// as best_score.
std::string metric_dictionary(std::string_view metric, const MetricOptions& options);

/// Value of the official function `metric` ("qa_f1_score", "rouge_score", ...) as the official script takes
/// it: the largest over all answers, at least 0. Nothing where the official function raises an exception.
/// Throws ConfigError for an unknown metric, DataError where one of Chinese or Japanese has no dictionary.
std::optional<double> best_score(std::string_view metric, TextView prediction,
                                 const std::vector<Text>& answers, const std::vector<Text>& all_classes,
                                 const MetricOptions& options = {});

/// The prediction as the official script scores it for trec, triviaqa, samsum and lsht: leading line feeds
/// dropped, first line.
TextView first_line(TextView prediction);

}  // namespace namm::tasks
