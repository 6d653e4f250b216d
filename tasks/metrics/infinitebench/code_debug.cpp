#include "tasks/metrics/infinitebench/answer_text.h"
#include "tasks/metrics/infinitebench/label.h"
#include "tasks/metrics/infinitebench/rules.h"

namespace namm::tasks {
namespace {

Text without_word(Text text, TextView word) {
  for (size_t place = 0; (place = text.find(word, place)) != Text::npos; ++place) {
    text.replace(place, word.size(), 1, U' ');
  }
  return text;
}

bool is_right(TextView prediction, const nlohmann::json& label, InfiniteBenchScorer scorer) {
  const TextView answer = strip(prediction);
  const Text letter = text_at(label, 1), function = text_at(label, 0);
  const auto names_it = [&](TextView text) { return text.starts_with(letter) || text.starts_with(function); };
  if (scorer == InfiniteBenchScorer::june_2024) {
    const TextView start = answer.substr(0, 2);
    if (start == letter + U'.' || start == letter + U':') return true;
  } else {
    const std::optional<char32_t> standalone = standalone_letter(answer, U'A', U'J');
    if (standalone && TextView(&*standalone, 1) == letter) return true;
  }
  const Text plain =
      with_single_blanks(without_word(without_word(blanked(answer, U"\n`'\"-*"), U"Option"), U"option"));
  if (scorer == InfiniteBenchScorer::august_2024 && names_it(plain)) return true;
  // Upstream's fourth phrase, "correct option is:", cannot occur: "option" is gone.
  const Announced announced = after_phrase(plain, {U"answer is:", U"is:", U"answer:"});
  return announced.found && announced.rest && names_it(*announced.rest);
}

}  // namespace

double code_debug_rule(TextView prediction, const nlohmann::json& label, InfiniteBenchScorer scorer) {
  return is_right(prediction, label, scorer);
}

}  // namespace namm::tasks
