#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "tasks/text/unicode.h"

namespace namm::tasks {

/// State of the official scorer (OpenBMB/InfiniteBench, src/compute_scores.py): commit 88b3daa6, the one
/// behind the published table, or ae04ef16. They differ in kv_retrieval, longdialogue_qa_eng,
/// longbook_choice_eng and code_debug (benchmarks 3.3).
enum class InfiniteBenchScorer : uint8_t { june_2024, august_2024 };

struct InfiniteBenchOptions {
  InfiniteBenchScorer scorer = InfiniteBenchScorer::june_2024;
  std::string model_name = "";  ///< math_calc leaves out the first number of "gpt4"
};

/// "2024-06" or "2024-08". Throws ConfigError.
InfiniteBenchScorer parse_infinitebench_scorer(std::string_view name);
std::string_view name_of(InfiniteBenchScorer scorer);

/// Names of the tasks that there is a rule for: all twelve, in the official order.
std::vector<std::string> infinitebench_rules();

/// Official score of one answer, 0 to 1: `ground_truth` as JSON in any shape that the official files have (a
/// text, a number, a list of them, a list in a list); the JSON spelling decides whether a number is an int or
/// a float. Nothing where the official function raises an exception. Throws ConfigError for an unknown task.
std::optional<double> infinitebench_score(std::string_view task, TextView prediction,
                                          const nlohmann::json& ground_truth,
                                          const InfiniteBenchOptions& options);

}  // namespace namm::tasks
