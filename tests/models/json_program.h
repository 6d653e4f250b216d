#pragma once

#include <exception>
#include <iostream>
#include <string>

#include <nlohmann/json.hpp>

#include "core/errors.h"

namespace namm::testing {

/// main() of a program for the Python tests: prints `result()` as one JSON document (bytes that are no UTF-8
/// as U+FFFD) and gives 0; an error is a line on standard error and its exit code, a wrong number of
/// arguments 2.
template <typename Result>
int print_json(bool has_arguments, const std::string& usage, const Result& result) {
  if (!has_arguments) {
    std::cerr << "usage: " << usage << "\n";
    return 2;
  }
  try {
    std::cout << result().dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } catch (const Error& error) {
    std::cerr << error.what() << "\n";
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}

}  // namespace namm::testing
