#pragma once

#include <cstdlib>
#include <string>

namespace namm::testing {

/// Whether NAMM_LONG=1 asks for sizes and counts that take minutes (namm_long_test in tests/CMakeLists.txt).
inline bool is_long_run() {
  const char* const value = std::getenv("NAMM_LONG");
  return value != nullptr && std::string(value) == "1";
}

}  // namespace namm::testing
