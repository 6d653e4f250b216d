#include "tasks/text/python_json.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace namm::tasks {
namespace {

constexpr char32_t highest_code_point = 0x10FFFF, first_surrogate = 0xD800, first_low_surrogate = 0xDC00,
                   after_surrogates = 0xE000;

/// The number in `\uXXXX` at `place`.
std::optional<char32_t> unicode_escape(std::string_view text, size_t place) {
  if (place + 6 > text.size() || text[place] != '\\' || text[place + 1] != 'u') return std::nullopt;
  uint32_t value = 0;
  const char* end = text.data() + place + 6;
  const auto [last, error] = std::from_chars(text.data() + place + 2, end, value, 16);
  if (error != std::errc() || last != end) return std::nullopt;
  return value;
}

bool is_high(std::optional<char32_t> c) {
  return c && *c >= first_surrogate && *c < first_low_surrogate;
}
bool is_low(std::optional<char32_t> c) {
  return c && *c >= first_low_surrogate && *c < after_surrogates;
}

}  // namespace

std::string without_lone_surrogates(std::string_view json) {
  std::string result;
  result.reserve(json.size());
  for (size_t i = 0; i < json.size();) {
    if (json[i] != '\\') {
      result += json[i++];
      continue;
    }
    const std::optional<char32_t> here = unicode_escape(json, i);
    if (is_high(here) && is_low(unicode_escape(json, i + 6))) {
      result += json.substr(i, 12);
      i += 12;
    } else if (is_high(here) || is_low(here)) {
      const char32_t stand_in = highest_code_point - (after_surrogates - 1 - *here);
      result += encode_utf8(TextView(&stand_in, 1));
      i += 6;
    } else {
      result += json.substr(i, 2);  // an escaped backslash must not begin another escape
      i += 2;
    }
  }
  return result;
}

bool has_lone_surrogate(TextView text) {
  constexpr char32_t first_stand_in = highest_code_point - (after_surrogates - 1 - first_surrogate);
  return std::ranges::any_of(text, [](char32_t c) { return c >= first_stand_in && c <= highest_code_point; });
}

}  // namespace namm::tasks
