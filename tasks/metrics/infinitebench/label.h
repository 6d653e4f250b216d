#pragma once

#include <exception>
#include <vector>

#include <nlohmann/json.hpp>

#include "tasks/text/unicode.h"

/// What Python's operators do with a ground truth, whose type the official functions do not check.
namespace namm::tasks {

/// The official function raises an exception for this answer: there is no score.
class OfficialScorerRaises : public std::exception {
 public:
  const char* what() const noexcept override { return "the official scorer raises an exception here"; }
};

/// The label itself, or the first element of a list. Raises for an empty list.
const nlohmann::json& first_of_list(const nlohmann::json& label);

/// `value == text`.
bool is_text(const nlohmann::json& value, TextView text);

/// The code points of a text. Raises for anything else.
Text text_of(const nlohmann::json& value);

/// `for item in label`: the elements of a list, the characters of a text. Raises for anything else and for
/// elements that are no texts.
std::vector<Text> texts_of(const nlohmann::json& label);

/// `label[index]` as a text.
Text text_at(const nlohmann::json& label, size_t index);

/// `text in label`: one of the elements of a list, a part of a text. Raises for anything else.
bool contains(const nlohmann::json& label, TextView text);

}  // namespace namm::tasks
