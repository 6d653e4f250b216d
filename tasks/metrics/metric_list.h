#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/metrics/code_similarity.h"
#include "tasks/text/unicode.h"

namespace namm::tasks {

/// Switches for known differences between installations of the official scorer.
struct MetricOptions {
  std::optional<int64_t> rouge_recursion_limit = {};  ///< none: as the official scorer; 0: never fails
  EditSimilarity edit_similarity = EditSimilarity::difflib;
};

/// "difflib" or "levenshtein". Throws ConfigError.
EditSimilarity parse_edit_similarity(std::string_view name);

/// Names of the official metric functions that are known, the ones that need segmentation included.
std::vector<std::string> metric_names();

/// Why a known metric cannot be computed by this version ("" when it can be).
std::string unsupported_reason(std::string_view metric);

/// Value of the official function `metric` ("qa_f1_score", "rouge_score", ...) as the official script takes
/// it: the largest over all answers, at least 0. Nothing where the official function raises an exception.
/// Throws ConfigError for a metric that is unknown or unsupported.
std::optional<double> best_score(std::string_view metric, TextView prediction,
                                 const std::vector<Text>& answers, const std::vector<Text>& all_classes,
                                 const MetricOptions& options = {});

/// The prediction as the official script scores it for trec, triviaqa, samsum and lsht: leading line feeds
/// dropped, first line.
TextView first_line(TextView prediction);

}  // namespace namm::tasks
