#include <algorithm>

#include "tasks/metrics/infinitebench/answer_text.h"
#include "tasks/metrics/infinitebench/label.h"
#include "tasks/metrics/infinitebench/rules.h"

namespace namm::tasks {
namespace {

bool says_first_name(TextView prediction, const nlohmann::json& label) {
  // An element that is no text is equal to no word; the first character of a text stands for the text.
  if (label.is_array() && !label.empty() && !label.front().is_string()) return false;
  const Text name = text_at(label, 0);
  return std::ranges::any_of(split_on_space(blanked(strip(prediction), word_marks)),
                             [&](const Text& word) { return upper(word) == name; });
}

bool mentions_any_name(TextView prediction, const nlohmann::json& label) {
  const Text text = upper(strip(prediction));
  const auto is_mentioned = [&](const Text& name) { return text.find(upper(name)) != Text::npos; };
  if (!label.is_array()) return std::ranges::any_of(texts_of(label), is_mentioned);
  // Names are looked at one by one, so that one that is no text raises only when it is reached.
  return std::ranges::any_of(label, [&](const nlohmann::json& name) { return is_mentioned(text_of(name)); });
}

}  // namespace

double dialogue_rule(TextView prediction, const nlohmann::json& label, InfiniteBenchScorer scorer) {
  return scorer == InfiniteBenchScorer::june_2024 ? says_first_name(prediction, label)
                                                  : mentions_any_name(prediction, label);
}

}  // namespace namm::tasks
