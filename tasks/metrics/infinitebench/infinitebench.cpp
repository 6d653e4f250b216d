#include "tasks/metrics/infinitebench/infinitebench.h"

#include <algorithm>
#include <array>

#include "core/errors.h"
#include "core/text.h"
#include "tasks/metrics/infinitebench/label.h"
#include "tasks/metrics/infinitebench/rules.h"

namespace namm::tasks {
namespace {

using nlohmann::json;
using Options = InfiniteBenchOptions;

struct Rule {
  std::string_view task;
  double (*score)(TextView, const json&, const Options&);
};

constexpr auto number = [](TextView p, const json& label, const Options&) {
  return first_number_rule(p, label);
};

constexpr std::array all_rules = {
    Rule{"passkey", number},
    Rule{"number_string", number},
    Rule{"kv_retrieval",
         [](TextView p, const json& l, const Options& o) { return key_value_rule(p, l, o.scorer); }},
    Rule{"longdialogue_qa_eng",
         [](TextView p, const json& l, const Options& o) { return dialogue_rule(p, l, o.scorer); }},
    Rule{"longbook_sum_eng", [](TextView p, const json& l, const Options&) { return summary_rule(p, l); }},
    Rule{"longbook_choice_eng",
         [](TextView p, const json& l, const Options& o) { return choice_rule(p, l, o.scorer); }},
    Rule{"longbook_qa_eng",
         [](TextView p, const json& l, const Options&) { return english_answer_rule(p, l); }},
    Rule{"longbook_qa_chn",
         [](TextView p, const json& l, const Options&) { return chinese_answer_rule(p, l); }},
    Rule{"math_find", [](TextView p, const json& l, const Options&) { return math_find_rule(p, l); }},
    Rule{"math_calc",
         [](TextView p, const json& l, const Options& o) { return math_calc_rule(p, l, o.model_name); }},
    Rule{"code_run", [](TextView p, const json& l, const Options&) { return code_run_rule(p, l); }},
    Rule{"code_debug",
         [](TextView p, const json& l, const Options& o) { return code_debug_rule(p, l, o.scorer); }},
};

}  // namespace

InfiniteBenchScorer parse_infinitebench_scorer(std::string_view name) {
  if (name == "2024-06") return InfiniteBenchScorer::june_2024;
  if (name == "2024-08") return InfiniteBenchScorer::august_2024;
  throw ConfigError("must be 2024-06 (behind the published table) or 2024-08");
}

std::string_view name_of(InfiniteBenchScorer scorer) {
  return scorer == InfiniteBenchScorer::june_2024 ? "2024-06" : "2024-08";
}

std::vector<std::string> infinitebench_rules() {
  std::vector<std::string> names;
  for (const Rule& rule : all_rules) names.emplace_back(rule.task);
  return names;
}

std::optional<double> infinitebench_score(std::string_view task, TextView prediction,
                                          const json& ground_truth, const InfiniteBenchOptions& options) {
  const auto rule = std::ranges::find(all_rules, task, &Rule::task);
  if (rule == all_rules.end()) {
    throw ConfigError(format_text("'{}' is no task of InfiniteBench; its tasks are {}", task,
                                  join(infinitebench_rules(), ", ")));
  }
  try {
    return rule->score(prediction, ground_truth, options);
  } catch (const OfficialScorerRaises&) {
    return std::nullopt;
  }
}

}  // namespace namm::tasks
