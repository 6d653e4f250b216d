#include "tests/bench/resident_set.h"

#include <cstdlib>
#include <fstream>
#include <string>

#include <malloc.h>

#include "tests/bench/case.h"

namespace namm::bench {

namespace {

int64_t status_bytes(const std::string& key) {
  constexpr int64_t kUnit = 1024;  // the file says kB
  std::ifstream file("/proc/self/status");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with(key + ":")) return std::atoll(line.c_str() + key.size() + 1) * kUnit;
  }
  throw Skipped("/proc/self/status has no " + key + ": resident memory is not known here");
}

}  // namespace

int64_t resident_bytes() {
  return status_bytes("VmRSS");
}

int64_t resident_peak_bytes() {
  return status_bytes("VmHWM");
}

void reset_resident_peak() {
  malloc_trim(0);
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;  // proc(5): resets VmHWM
  if (!file)
    throw Skipped("/proc/self/clear_refs cannot be written: the peak of resident memory is not known here");
}

}  // namespace namm::bench
