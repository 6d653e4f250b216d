#include <algorithm>

#include "tasks/metrics/infinitebench/label.h"
#include "tasks/metrics/infinitebench/rules.h"
#include "tasks/metrics/rouge_lsum.h"

namespace namm::tasks {

double summary_rule(TextView prediction, const nlohmann::json& label) {
  if (label.is_string()) return rouge_lsum(prediction, text_of(label));
  const std::vector<Text> references = texts_of(label);
  if (references.empty()) throw OfficialScorerRaises();
  double best = 0;
  for (const Text& reference : references) best = std::max(best, rouge_lsum(prediction, reference));
  return best;
}

}  // namespace namm::tasks
