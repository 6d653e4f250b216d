#include "tasks/metrics/infinitebench/label.h"

#include <algorithm>
#include <string>

namespace namm::tasks {

using nlohmann::json;

const json& first_of_list(const json& label) {
  if (!label.is_array()) return label;
  if (label.empty()) throw OfficialScorerRaises();
  return label.front();
}

bool is_text(const json& value, TextView text) {
  return value.is_string() && decode_utf8(value.get_ref<const std::string&>()) == text;
}

Text text_of(const json& value) {
  if (!value.is_string()) throw OfficialScorerRaises();
  return decode_utf8(value.get_ref<const std::string&>());
}

std::vector<Text> texts_of(const json& label) {
  std::vector<Text> texts;
  if (label.is_string()) {
    for (const char32_t c : text_of(label)) texts.emplace_back(1, c);
    return texts;
  }
  if (!label.is_array()) throw OfficialScorerRaises();
  for (const json& item : label) texts.push_back(text_of(item));
  return texts;
}

Text text_at(const json& label, size_t index) {
  if (label.is_string()) {
    const Text text = text_of(label);
    if (index >= text.size()) throw OfficialScorerRaises();
    return Text(1, text[index]);
  }
  if (!label.is_array() || index >= label.size()) throw OfficialScorerRaises();
  return text_of(label[index]);
}

bool contains(const json& label, TextView text) {
  if (label.is_string()) return text_of(label).find(text) != Text::npos;
  if (!label.is_array()) throw OfficialScorerRaises();
  return std::ranges::any_of(label, [&](const json& item) { return is_text(item, text); });
}

}  // namespace namm::tasks
