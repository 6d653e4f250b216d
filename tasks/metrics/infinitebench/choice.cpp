#include <algorithm>

#include "tasks/metrics/infinitebench/answer_text.h"
#include "tasks/metrics/infinitebench/label.h"
#include "tasks/metrics/infinitebench/rules.h"

namespace namm::tasks {
namespace {

constexpr TextView letters = U"ABCD";

/// The label's elements one by one, so that one that is no text raises only when it is reached.
bool starts_with_element(TextView text, const nlohmann::json& label) {
  if (label.is_array()) {
    return std::ranges::any_of(label,
                               [&](const nlohmann::json& item) { return text.starts_with(text_of(item)); });
  }
  return std::ranges::any_of(texts_of(label), [&](const Text& item) { return text.starts_with(item); });
}

bool is_right(TextView prediction, const nlohmann::json& label, InfiniteBenchScorer scorer) {
  const TextView answer = strip(prediction);
  if (scorer == InfiniteBenchScorer::august_2024) {
    const std::optional<char32_t> letter = standalone_letter(answer, letters.front(), letters.back());
    if (letter && contains(label, TextView(&*letter, 1))) return true;
  }
  if (answer.empty()) return false;
  if (letters.find(answer.front()) != TextView::npos) return contains(label, answer.substr(0, 1));
  if (contains(label, answer)) return true;

  const Text plain = with_single_blanks(blanked(answer, U"\n\"'.,?!{}"));
  const Announced announced = after_phrase(plain, {U"answer is:", U"answer:", U"answer is", U"option is"});
  if (announced.found) return announced.rest && starts_with_element(*announced.rest, label);
  for (const Text& word : split_on_space(plain)) {
    if (letters.find(word) != TextView::npos) return contains(label, word);  // also AB, BCD
  }
  return false;
}

}  // namespace

double choice_rule(TextView prediction, const nlohmann::json& label, InfiniteBenchScorer scorer) {
  return is_right(prediction, label, scorer);
}

}  // namespace namm::tasks
