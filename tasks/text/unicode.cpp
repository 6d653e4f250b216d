#include "tasks/text/unicode.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include <unicode/uchar.h>
#include <unicode/ustring.h>
#include <unicode/utf16.h>
#include <unicode/utf8.h>

namespace namm::tasks {
namespace {

constexpr char32_t replacement_character = 0xFFFD;

bool is_ascii(TextView text) {
  return std::ranges::all_of(text, [](char32_t c) { return c < 0x80; });
}

std::u16string to_utf16(TextView text) {
  std::u16string result;
  result.reserve(text.size());
  for (char32_t c : text) {
    if (c < 0x10000) {
      result.push_back(static_cast<char16_t>(c));
    } else if (c <= 0x10FFFF) {
      result.push_back(U16_LEAD(c));
      result.push_back(U16_TRAIL(c));
    } else {
      result.push_back(static_cast<char16_t>(replacement_character));
    }
  }
  return result;
}

Text from_utf16(std::u16string_view text) {
  Text result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    UChar32 c;
    U16_NEXT(text.data(), i, text.size(), c);
    result.push_back(static_cast<char32_t>(c));
  }
  return result;
}

/// `map` is u_strToLower or u_strToUpper.
template <class Map>
Text map_case(TextView text, Map map) {
  const std::u16string source = to_utf16(text);
  // A change of case makes at most three UTF-16 units of one.
  std::u16string target(source.size() * 3, u'\0');
  if (target.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    throw std::length_error("change of case: text of more than 700 million characters");
  }
  UErrorCode status = U_ZERO_ERROR;
  const int32_t length = map(target.data(), static_cast<int32_t>(target.size()), source.data(),
                             static_cast<int32_t>(source.size()), "", &status);
  if (U_FAILURE(status)) {
    throw std::runtime_error(std::string("change of case: ICU says ") + u_errorName(status));
  }
  target.resize(static_cast<size_t>(length));
  return from_utf16(target);
}

}  // namespace

Text decode_utf8(std::string_view bytes) {
  Text result;
  result.reserve(bytes.size());
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  for (size_t i = 0; i < bytes.size();) {
    if (data[i] < 0x80) {
      result.push_back(data[i++]);
      continue;
    }
    UChar32 c;
    U8_NEXT(data, i, bytes.size(), c);
    result.push_back(c < 0 ? replacement_character : static_cast<char32_t>(c));
  }
  return result;
}

std::string encode_utf8(TextView text) {
  std::string result;
  result.reserve(text.size());
  for (char32_t c : text) {
    if (c < 0x80) {
      result.push_back(static_cast<char>(c));
      continue;
    }
    if (c > 0x10FFFF || U_IS_SURROGATE(c)) c = replacement_character;
    uint8_t buffer[U8_MAX_LENGTH];
    size_t length = 0;
    U8_APPEND_UNSAFE(buffer, length, c);
    result.append(reinterpret_cast<const char*>(buffer), length);
  }
  return result;
}

bool is_space(char32_t c) {
  if (c < 0x80) return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_decimal_digit(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  return u_charType(static_cast<UChar32>(c)) == U_DECIMAL_DIGIT_NUMBER;
}

bool is_word_character(char32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  const auto code = static_cast<UChar32>(c);
  return (U_GET_GC_MASK(code) & U_GC_L_MASK) != 0 ||
         u_getIntPropertyValue(code, UCHAR_NUMERIC_TYPE) != U_NT_NONE;
}

bool is_ascii_punctuation(char32_t c) {
  return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) ||
         (c >= 0x7B && c <= 0x7E);
}

Text lower(TextView text) {
  if (is_ascii(text)) {
    Text result(text);
    for (char32_t& c : result) {
      if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
    }
    return result;
  }
  return map_case(text, u_strToLower);
}

Text upper(TextView text) {
  if (is_ascii(text)) {
    Text result(text);
    for (char32_t& c : result) {
      if (c >= 'a' && c <= 'z') c -= 'a' - 'A';
    }
    return result;
  }
  return map_case(text, u_strToUpper);
}

TextView strip(TextView text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<Text> split_on_space(TextView text) {
  std::vector<Text> pieces;
  for_each_word(text, [&](TextView word) { pieces.emplace_back(word); });
  return pieces;
}

std::vector<Text> split(TextView text, char32_t separator) {
  std::vector<Text> pieces;
  size_t start = 0;
  for (size_t end; (end = text.find(separator, start)) != TextView::npos; start = end + 1) {
    pieces.emplace_back(text.substr(start, end - start));
  }
  pieces.emplace_back(text.substr(start));
  return pieces;
}

std::vector<Text> digit_runs(TextView text) {
  std::vector<Text> runs;
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    while (i < text.size() && is_decimal_digit(text[i])) ++i;
    if (i > start) {
      runs.emplace_back(text.substr(start, i - start));
    } else {
      ++i;
    }
  }
  return runs;
}

TextView without_leading_newlines(TextView text) {
  const size_t start = text.find_first_not_of(U'\n');
  return start == TextView::npos ? TextView() : text.substr(start);
}

}  // namespace namm::tasks
