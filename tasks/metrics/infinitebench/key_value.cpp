#include <algorithm>

#include "tasks/metrics/infinitebench/answer_text.h"
#include "tasks/metrics/infinitebench/label.h"
#include "tasks/metrics/infinitebench/rules.h"

namespace namm::tasks {

double key_value_rule(TextView prediction, const nlohmann::json& label, InfiniteBenchScorer scorer) {
  const nlohmann::json& value = scorer == InfiniteBenchScorer::june_2024 ? label : first_of_list(label);
  return std::ranges::any_of(split_on_space(blanked(prediction, word_marks)),
                             [&](const Text& word) { return is_text(value, word); });
}

}  // namespace namm::tasks
