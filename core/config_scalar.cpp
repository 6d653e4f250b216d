#include "core/config_scalar.h"

#include <charconv>
#include <cmath>
#include <limits>

namespace namm {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::size_t skip_digits(std::string_view text, std::size_t i) {
  while (i < text.size() && is_digit(text[i])) {
    ++i;
  }
  return i;
}

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool has_float_syntax(std::string_view text) {
  std::size_t i = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  const std::size_t whole = skip_digits(text, i);
  bool digits = whole > i;
  i = whole;
  if (i < text.size() && text[i] == '.') {
    const std::size_t end = skip_digits(text, i + 1);
    digits = digits || end > i + 1;
    i = end;
  }
  if (!digits) {
    return false;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '-' || text[i] == '+')) {
      ++i;
    }
    const std::size_t end = skip_digits(text, i);
    if (end == i) {
      return false;
    }
    i = end;
  }
  return i == text.size();
}

template <class T>
std::string float_text(T value) {
  if (std::isnan(value)) {
    return ".nan";
  }
  if (std::isinf(value)) {
    return value > 0 ? ".inf" : "-.inf";
  }
  char buffer[64];
  std::string text(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
  if (text.find_first_of(".e") == std::string::npos) {
    text += ".0";
  }
  return text;
}

}  // namespace

std::optional<CoreInteger> parse_core_integer(std::string_view text) {
  CoreInteger integer;
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0o")) {
    base = text[1] == 'x' ? 16 : 8;
    text.remove_prefix(2);
  } else if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    integer.negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text.empty() || text[0] == '-' || text[0] == '+') {
    return std::nullopt;
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), integer.magnitude, base);
  if (end != text.data() + text.size() || error == std::errc::invalid_argument) {
    return std::nullopt;
  }
  integer.overflow = error == std::errc::result_out_of_range;
  return integer;
}

std::optional<double> parse_core_float(std::string_view text) {
  if (const auto integer = parse_core_integer(text); integer && !integer->overflow) {
    const auto magnitude = static_cast<double>(integer->magnitude);
    return integer->negative ? -magnitude : magnitude;
  }
  if (text == ".nan" || text == ".NaN" || text == ".NAN") {
    return std::numeric_limits<double>::quiet_NaN();
  }
  std::string_view name = text;
  const bool negative = name.starts_with('-');
  if (negative || name.starts_with('+')) {
    name.remove_prefix(1);
  }
  if (name == ".inf" || name == ".Inf" || name == ".INF") {
    return negative ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  }
  if (!has_float_syntax(text)) {
    return std::nullopt;
  }
  double value = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), value);
  if (error != std::errc() || end != name.data() + name.size()) {
    return std::nullopt;
  }
  return negative ? -value : value;
}

std::string core_float_text(double value) {
  return float_text(value);
}
std::string core_float_text(float value) {
  return float_text(value);
}

}  // namespace namm
