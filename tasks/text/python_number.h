#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "tasks/text/unicode.h"

namespace namm::tasks {

/// A whole number of any size, as Python's int.
struct PythonInt {
  bool negative = false;
  std::string digits = "0";  ///< no leading zeros; "0" is not negative

  bool operator==(const PythonInt&) const = default;
};

/// `int(text)` of text without white space: a sign, decimal digits of any script, single underscores between
/// digits. Nothing where Python raises ValueError, more than 4,300 digits included.
std::optional<PythonInt> parse_python_int(TextView text);

/// `float(text)` of a run of decimal digits of any script with at most one full stop inside.
double parse_python_float(TextView digits);

/// Python's `number == label` for a label read from JSON: ints, floats and booleans compare by value, all
/// else is unequal.
bool equals_label(const PythonInt& number, const nlohmann::json& label);

}  // namespace namm::tasks
