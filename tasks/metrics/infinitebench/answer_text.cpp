#include "tasks/metrics/infinitebench/answer_text.h"

#include <algorithm>

namespace namm::tasks {

Text blanked(TextView text, TextView marks) {
  Text result(text);
  std::ranges::replace_if(
      result, [&](char32_t c) { return marks.find(c) != TextView::npos; }, U' ');
  return result;
}

Text with_single_blanks(TextView text) {
  Text result;
  for (const char32_t c : text) {
    if (c != U' ' || result.empty() || result.back() != U' ') result += c;
  }
  return result;
}

std::optional<char32_t> standalone_letter(TextView text, char32_t first, char32_t last) {
  std::optional<char32_t> letter;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == U'\n' && letter) return letter;
    const bool alone = (i == 0 || !is_word_character(text[i - 1])) &&
                       (i + 1 == text.size() || !is_word_character(text[i + 1]));
    if (text[i] >= first && text[i] <= last && alone) letter = text[i];
  }
  return letter;
}

Announced after_phrase(TextView text, std::initializer_list<TextView> phrases) {
  for (const TextView phrase : phrases) {
    const size_t place = text.find(phrase);
    if (place == TextView::npos) continue;
    const size_t rest = place + phrase.size() + 1;
    return {true, rest > text.size() ? std::nullopt : std::optional(text.substr(rest))};
  }
  return {};
}

}  // namespace namm::tasks
