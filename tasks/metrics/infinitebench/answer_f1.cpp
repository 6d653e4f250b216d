#include <algorithm>

#include "tasks/metrics/infinitebench/label.h"
#include "tasks/metrics/infinitebench/rules.h"
#include "tasks/metrics/token_f1.h"
#include "tasks/text/cjk.h"

namespace namm::tasks {
namespace {

/// Largest F1 of the tokens that `tokens` makes of the prediction and of each label.
template <class Tokens>
double best_f1(TextView prediction, const nlohmann::json& label, const Tokens& tokens) {
  const std::vector<Text> predicted = tokens(prediction);
  double best = 0;
  for (const Text& answer : texts_of(label)) best = std::max(best, bag_f1(predicted, tokens(answer)));
  return best;
}

std::vector<Text> normalized_characters(TextView text) {
  std::vector<Text> characters;
  for (const char32_t c : normalized_cjk(text)) characters.emplace_back(1, c);
  return characters;
}

}  // namespace

double english_answer_rule(TextView prediction, const nlohmann::json& label) {
  return best_f1(prediction, label, normalized_words);
}

double chinese_answer_rule(TextView prediction, const nlohmann::json& label) {
  return best_f1(prediction, label, normalized_characters);
}

}  // namespace namm::tasks
