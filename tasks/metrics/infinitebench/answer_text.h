#pragma once

#include <initializer_list>
#include <optional>

#include "tasks/text/unicode.h"

/// Steps that several rules take to find an answer in a text.
namespace namm::tasks {

/// Characters that the rules for words replace.
inline constexpr TextView word_marks = U"\n:\"'.,?!{}";

/// A blank in place of every one of `marks`.
Text blanked(TextView text, TextView marks);

/// Runs of blanks (U+0020 only) made one.
Text with_single_blanks(TextView text);

/// The last capital from `first` to `last` that stands alone, on the first line that has one.
std::optional<char32_t> standalone_letter(TextView text, char32_t first, char32_t last);

/// The first phrase of the list that occurs, and what follows it and one more character; `rest` is missing
/// where that character is.
struct Announced {
  bool found = false;
  std::optional<TextView> rest;
};
Announced after_phrase(TextView text, std::initializer_list<TextView> phrases);

}  // namespace namm::tasks
