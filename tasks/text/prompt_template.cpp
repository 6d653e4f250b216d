#include "tasks/text/prompt_template.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/text.h"

namespace namm::tasks {
namespace {

bool is_field_name(const std::string& name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  });
}

}  // namespace

PromptTemplate::PromptTemplate(const std::string& text, const std::string& where) : where_(where) {
  std::string part;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '{' && c != '}') {
      part += c;
    } else if (i + 1 < text.size() && text[i + 1] == c) {
      part += c;
      ++i;
    } else if (c == '}') {
      throw DataError(where + ": single '}' in a prompt template; write }} for the character");
    } else {
      const size_t end = text.find('}', i);
      const std::string name = end == std::string::npos ? "" : text.substr(i + 1, end - i - 1);
      if (!is_field_name(name)) {
        throw DataError(where +
                        ": a place in a prompt template must be {name}; write {{ for the character '{'");
      }
      parts_.emplace_back(std::move(part), name);
      part.clear();
      i = end;
    }
  }
  parts_.emplace_back(std::move(part), "");
}

std::string PromptTemplate::fill(const nlohmann::json& record) const {
  std::string prompt;
  for (const auto& [text, field] : parts_) {
    prompt += text;
    if (field.empty()) continue;
    const auto value = record.find(field);
    if (value != record.end() && value->is_string()) {
      prompt += value->get_ref<const std::string&>();
    } else if (value != record.end() && value->is_number_integer()) {
      prompt += value->dump();
    } else {
      throw DataError(
          format_text("{}: the template uses the field '{}', which the record lacks", where_, field));
    }
  }
  return prompt;
}

}  // namespace namm::tasks
