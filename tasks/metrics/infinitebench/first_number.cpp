#include <algorithm>

#include "tasks/metrics/infinitebench/label.h"
#include "tasks/metrics/infinitebench/rules.h"

namespace namm::tasks {

double first_number_rule(TextView prediction, const nlohmann::json& label) {
  const auto is_digit = [](char32_t c) { return c >= U'0' && c <= U'9'; };
  const auto start = std::ranges::find_if(prediction, is_digit);
  const auto end = std::find_if_not(start, prediction.end(), is_digit);
  return is_text(first_of_list(label), TextView(start, end));
}

}  // namespace namm::tasks
