#pragma once

#include <string_view>

#include <nlohmann/json.hpp>

#include "tasks/metrics/infinitebench/infinitebench.h"
#include "tasks/text/unicode.h"

/// InfiniteBench's rules, one a file (benchmarks 3.3). Each gives 0 to 1 and throws OfficialScorerRaises
/// where the official function raises.
namespace namm::tasks {

/// passkey, number_string: the first run of ASCII digits is the label, as texts.
double first_number_rule(TextView prediction, const nlohmann::json& label);

/// kv_retrieval: the label is one of the words. In June a list is no word.
double key_value_rule(TextView prediction, const nlohmann::json& label, InfiniteBenchScorer scorer);

/// longdialogue_qa_eng. June: the first name is one of the upper-case words; August: any name is part of the
/// upper-case text.
double dialogue_rule(TextView prediction, const nlohmann::json& label, InfiniteBenchScorer scorer);

/// longbook_choice_eng; the label is [text, letter].
double choice_rule(TextView prediction, const nlohmann::json& label, InfiniteBenchScorer scorer);

/// code_debug; the label is [function name, letter].
double code_debug_rule(TextView prediction, const nlohmann::json& label, InfiniteBenchScorer scorer);

/// code_run: the last word is a whole number and equals the label.
double code_run_rule(TextView prediction, const nlohmann::json& label);

/// math_find: the first number equals the label; raises for a decimal number against an int label.
double math_find_rule(TextView prediction, const nlohmann::json& label);

/// math_calc: share of the label list that the numbers of the prediction repeat from the start.
double math_calc_rule(TextView prediction, const nlohmann::json& label, std::string_view model_name);

/// longbook_qa_eng: largest F1 of words over the labels.
double english_answer_rule(TextView prediction, const nlohmann::json& label);

/// longbook_qa_chn: largest F1 of characters over the labels.
double chinese_answer_rule(TextView prediction, const nlohmann::json& label);

/// longbook_sum_eng: largest rougeLsum over the labels.
double summary_rule(TextView prediction, const nlohmann::json& label);

}  // namespace namm::tasks
