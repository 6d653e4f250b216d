#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace namm::testing {

/// Folder of the golden numbers: NAMM_GOLDEN_DIR, or the project's copy.
inline std::filesystem::path golden_directory() {
  const char* chosen = std::getenv("NAMM_GOLDEN_DIR");
  return chosen != nullptr && *chosen != '\0' ? std::filesystem::path(chosen)
                                              : std::filesystem::path(NAMM_TEST_DATA) / "golden";
}

/// Files `<prefix>*.h5` of that folder at this moment, sorted by name.
inline std::vector<std::filesystem::path> golden_files(const std::string& prefix) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(golden_directory(), error)) {
    if (entry.path().extension() == ".h5" && entry.path().filename().string().starts_with(prefix)) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace namm::testing
