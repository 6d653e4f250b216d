#include "tasks/metrics/infinitebench/label.h"
#include "tasks/metrics/infinitebench/rules.h"
#include "tasks/text/python_number.h"

namespace namm::tasks {
namespace {

/// Digits, full stop and digits, or digits; empty when there are none.
TextView first_number(TextView text) {
  size_t start = 0;
  while (start < text.size() && !is_decimal_digit(text[start])) ++start;
  const auto past_digits = [&](size_t place) {
    while (place < text.size() && is_decimal_digit(text[place])) ++place;
    return place;
  };
  size_t end = past_digits(start);
  if (end < text.size() && text[end] == U'.' && past_digits(end + 1) > end + 1) end = past_digits(end + 1);
  return text.substr(start, end - start);
}

}  // namespace

double math_find_rule(TextView prediction, const nlohmann::json& label) {
  const nlohmann::json& value = first_of_list(label);
  if (!value.is_number() && !value.is_boolean()) throw OfficialScorerRaises();
  const TextView found = first_number(prediction);
  if (found.empty()) return 0;
  if (value.is_number_float()) return parse_python_float(found) == value.get<double>();
  const std::optional<PythonInt> number = parse_python_int(found);
  if (!number) throw OfficialScorerRaises();
  return equals_label(*number, value);
}

}  // namespace namm::tasks
