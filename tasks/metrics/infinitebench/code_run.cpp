#include "tasks/metrics/infinitebench/answer_text.h"
#include "tasks/metrics/infinitebench/label.h"
#include "tasks/metrics/infinitebench/rules.h"
#include "tasks/text/python_number.h"

namespace namm::tasks {

double code_run_rule(TextView prediction, const nlohmann::json& label) {
  const nlohmann::json& value = first_of_list(label);
  const std::vector<Text> words = split_on_space(blanked(prediction, U"\n.`'\":"));
  if (words.empty()) return 0;
  const std::optional<PythonInt> number = parse_python_int(words.back());
  return number && equals_label(*number, value);
}

}  // namespace namm::tasks
