#pragma once

#include <cstdio>
#include <map>
#include <string>

#include "core/errors.h"

namespace namm::testing {

/// key=value words of a test process's command line.
class FakeArguments {
 public:
  FakeArguments(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      const std::string word = argv[i];
      const auto place = word.find('=');
      if (place == std::string::npos) throw ConfigError(word + ": expected key=value");
      values_[word.substr(0, place)] = word.substr(place + 1);
    }
  }
  std::string text(const std::string& key, const std::string& otherwise) const {
    const auto found = values_.find(key);
    return found == values_.end() ? otherwise : found->second;
  }
  int64_t integer(const std::string& key, int64_t otherwise) const {
    return std::stoll(text(key, std::to_string(otherwise)));
  }
  double number(const std::string& key, double otherwise) const {
    return std::stod(text(key, std::to_string(otherwise)));
  }

 private:
  std::map<std::string, std::string> values_;
};

/// Exit codes as the program's own.
template <class Run>
int run_main(int argc, char** argv, const Run& run) {
  try {
    return run(FakeArguments(argc, argv));
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "internal error: %s\n", error.what());
    return 1;
  }
}

}  // namespace namm::testing
