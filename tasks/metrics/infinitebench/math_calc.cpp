#include "tasks/metrics/infinitebench/label.h"
#include "tasks/metrics/infinitebench/rules.h"
#include "tasks/text/python_number.h"

namespace namm::tasks {
namespace {

std::vector<PythonInt> numbers_in(TextView text) {
  std::vector<PythonInt> numbers;
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    while (i < text.size() && text[i] >= U'0' && text[i] <= U'9') ++i;
    if (i == start) {
      ++i;
      continue;
    }
    const std::optional<PythonInt> number = parse_python_int(text.substr(start, i - start));
    if (!number) throw OfficialScorerRaises();
    numbers.push_back(*number);
  }
  return numbers;
}

}  // namespace

double math_calc_rule(TextView prediction, const nlohmann::json& label, std::string_view model_name) {
  if (!label.is_array()) throw OfficialScorerRaises();
  const nlohmann::json& wanted = first_of_list(label).is_array() ? label.front() : label;
  const std::vector<PythonInt> numbers = numbers_in(prediction);
  if (wanted.empty()) throw OfficialScorerRaises();  // a division by zero
  const size_t first = model_name == "gpt4" ? 1 : 0;
  size_t right = 0;
  while (right < wanted.size() && first + right < numbers.size() &&
         equals_label(numbers[first + right], wanted[right])) {
    ++right;
  }
  return static_cast<double>(right) / static_cast<double>(wanted.size());
}

}  // namespace namm::tasks
