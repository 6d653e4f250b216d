#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace namm::tasks {

/// Text as Python's `str` sees it: one element a code point. The metrics count and compare these (benchmarks
/// 1).
using Text = std::u32string;
using TextView = std::u32string_view;

/// Code points of UTF-8 bytes; what is not valid gives U+FFFD as in core's replace_invalid_utf8.
Text decode_utf8(std::string_view bytes);

/// UTF-8 of code points; surrogates and values past U+10FFFF give U+FFFD.
std::string encode_utf8(TextView text);

/// `str.isspace` of one character: the White_Space property and U+001C to U+001F.
bool is_space(char32_t c);

/// `\d` in a `str` pattern: category Nd, full-width and other scripts' digits included.
bool is_decimal_digit(char32_t c);

/// `\w` in a `str` pattern: letters, anything with a numeric value, and the underscore; no combining marks.
bool is_word_character(char32_t c);

/// The 32 characters of Python's `string.punctuation`.
bool is_ascii_punctuation(char32_t c);

/// `str.lower`: full Unicode mapping (one to many, final sigma), no locale.
Text lower(TextView text);

/// `str.upper`: full Unicode mapping (one to many), no locale.
Text upper(TextView text);

/// `str.strip()`: without white space at both ends.
TextView strip(TextView text);

/// `str.split()`: the pieces between runs of white space, none of them empty.
std::vector<Text> split_on_space(TextView text);

/// Calls `use(TextView)` with every piece of split_on_space.
template <class Use>
void for_each_word(TextView text, const Use& use) {
  for (size_t i = 0; i < text.size();) {
    while (i < text.size() && is_space(text[i])) ++i;
    const size_t start = i;
    while (i < text.size() && !is_space(text[i])) ++i;
    if (i > start) use(text.substr(start, i - start));
  }
}

/// `str.split(separator)`: always at least one piece, pieces may be empty.
std::vector<Text> split(TextView text, char32_t separator);

/// `re.findall(r"\d+")`: all maximal runs of decimal digits.
std::vector<Text> digit_runs(TextView text);

/// `str.lstrip("\n")`: without leading line feeds (and only those).
TextView without_leading_newlines(TextView text);

}  // namespace namm::tasks
