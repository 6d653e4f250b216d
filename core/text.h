#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace namm {

/// `text` without white space at both ends.
std::string_view trim(std::string_view text);

/// Pieces of `text` between separators; "a..b" split at '.' gives {"a", "", "b"}, "" gives {""}.
std::vector<std::string> split(std::string_view text, char separator);

std::string join(const std::vector<std::string>& pieces, std::string_view separator);

/// Least number of single-byte insertions, deletions, replacements and swaps of neighbours that turn `a` into
/// `b`.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate nearest to `text`, if one is near enough to be meant (about a third of its letters wrong at
/// most).
std::optional<std::string> nearest(std::string_view text, const std::vector<std::string>& candidates);

/// Offset of the first byte of `text` that is not part of valid UTF-8 (overlong forms and surrogates are
/// invalid).
std::optional<std::size_t> first_invalid_utf8(std::string_view text);

/// `text` with U+FFFD in the place of what is not valid UTF-8: one for the longest beginning of a sequence,
/// as decoders of Python, Rust and browsers do.
std::string replace_invalid_utf8(std::string_view text);

/// Bytes at the end of `text` that begin a letter but do not complete it, 0 to 3.
std::size_t open_utf8_tail(std::string_view text);

/// "512 bytes", "3.2 MiB".
std::string format_bytes(uint64_t bytes);

/// "1.4 s", "38 s", "3 min 05 s", "2 h 10 min".
std::string format_seconds(double seconds);

namespace detail {
inline void format_next(std::ostringstream& out, std::string_view pattern) {
  out << pattern;
}

template <class First, class... Rest>
void format_next(std::ostringstream& out, std::string_view pattern, const First& first, const Rest&... rest) {
  const std::size_t place = pattern.find("{}");
  if (place == std::string_view::npos) {
    out << pattern;
    return;
  }
  out << pattern.substr(0, place) << first;
  format_next(out, pattern.substr(place + 2), rest...);
}
}  // namespace detail

/// `pattern` with each `{}` replaced by the next argument as an ostream prints it.
template <class... Arguments>
std::string format_text(std::string_view pattern, const Arguments&... arguments) {
  std::ostringstream out;
  detail::format_next(out, pattern, arguments...);
  return out.str();
}

}  // namespace namm
