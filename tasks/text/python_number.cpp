#include "tasks/text/python_number.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>

#include <unicode/uchar.h>

namespace namm::tasks {
namespace {

// sys.int_info.default_max_str_digits, leading zeros counted.
constexpr size_t most_digits = 4300;

char ascii_digit(char32_t c) {
  return static_cast<char>('0' + u_charDigitValue(static_cast<UChar32>(c)));
}

PythonInt from_integer(int64_t value) {
  std::string digits = std::to_string(value);
  const bool negative = value < 0;
  if (negative) digits.erase(0, 1);
  return {negative, std::move(digits)};
}

}  // namespace

std::optional<PythonInt> parse_python_int(TextView text) {
  PythonInt number;
  if (!text.empty() && (text.front() == U'+' || text.front() == U'-')) {
    number.negative = text.front() == U'-';
    text.remove_prefix(1);
  }
  number.digits.clear();
  size_t count = 0;
  bool after_digit = false;
  for (const char32_t c : text) {
    if (c == U'_' && after_digit) {
      after_digit = false;
      continue;
    }
    if (!is_decimal_digit(c) || ++count > most_digits) return std::nullopt;
    after_digit = true;
    const char digit = ascii_digit(c);
    if (!number.digits.empty() || digit != '0') number.digits += digit;
  }
  if (!after_digit) return std::nullopt;
  if (number.digits.empty()) number = {};
  return number;
}

double parse_python_float(TextView digits) {
  std::string ascii;
  bool is_tiny = true;
  for (const char32_t c : digits) {
    ascii += c == U'.' ? '.' : ascii_digit(c);
    if (c == U'.') break;
    is_tiny = is_tiny && ascii.back() == '0';
  }
  for (size_t i = ascii.size(); i < digits.size(); ++i) ascii += ascii_digit(digits[i]);
  double value = 0;
  if (std::from_chars(ascii.data(), ascii.data() + ascii.size(), value).ec ==
      std::errc::result_out_of_range) {
    return is_tiny ? 0.0 : std::numeric_limits<double>::infinity();
  }
  return value;
}

bool equals_label(const PythonInt& number, const nlohmann::json& label) {
  if (label.is_number_unsigned()) {
    return number == PythonInt{false, std::to_string(label.get<uint64_t>())};
  }
  if (label.is_number_integer()) return number == from_integer(label.get<int64_t>());
  if (label.is_boolean()) return number == from_integer(label.get<bool>() ? 1 : 0);
  if (!label.is_number_float()) return false;
  const double value = label.get<double>();
  constexpr double past_int64 = 9223372036854775808.0;
  return std::abs(value) < past_int64 && value == std::trunc(value) &&
         number == from_integer(static_cast<int64_t>(value));
}

}  // namespace namm::tasks
