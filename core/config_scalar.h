#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Internal to core: scalars of the YAML 1.2 core schema (YAML 1.2.2, section 10.3.2).
namespace namm {

/// "-3", "+3", "010" (ten), "0o10" (eight), "0xff". Nothing when `text` is no integer.
struct CoreInteger {
  bool negative = false;
  uint64_t magnitude = 0;
  bool overflow = false;
};
std::optional<CoreInteger> parse_core_integer(std::string_view text);

/// Also ".inf", "-.INF", ".nan"; integers are floats too. Nothing when `text` is no number, or one that
/// double cannot hold.
std::optional<double> parse_core_float(std::string_view text);

/// Shortest text that reads back as the same number, always with '.', 'e' or as .inf, so that it stays a
/// float.
std::string core_float_text(double value);
std::string core_float_text(float value);

}  // namespace namm
