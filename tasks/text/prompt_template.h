#pragma once

#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace namm::tasks {

/// A prompt with named places, as the official prompt files hold them: the plain part of Python's
/// `str.format` ({name}, {{,
/// }}). Nothing else is interpreted: a backslash stays a backslash.
class PromptTemplate {
 public:
  PromptTemplate() = default;

  /// `where` (file: key) stands in errors. Throws DataError for stray braces, positional or formatted fields.
  PromptTemplate(const std::string& text, const std::string& where);

  /// The text with every place filled from the field of that name in `record`, a text or a whole number.
  /// Throws DataError when the record has no such field.
  std::string fill(const nlohmann::json& record) const;

 private:
  std::vector<std::pair<std::string, std::string>> parts_;  // text, then the field behind it ("" at the end)
  std::string where_;
};

}  // namespace namm::tasks
