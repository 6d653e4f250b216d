#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "tasks/segmentation/segmenters.h"

namespace namm::testing {

/// Folder with the packages jieba and unidic_lite: $NAMM_DICTIONARIES, or where ./setup.sh puts them.
inline std::filesystem::path dictionaries() {
  if (const char* folder = std::getenv("NAMM_DICTIONARIES")) return folder;
  std::error_code error;
  for (const auto& python : std::filesystem::directory_iterator(NAMM_SOURCE_DIR "/.venv/lib", error)) {
    const std::filesystem::path packages = python.path() / "site-packages";
    if (std::filesystem::exists(packages / "jieba", error)) return packages;
  }
  return {};
}

/// One for all tests of a program.
inline std::shared_ptr<const tasks::Segmenters> segmenters() {
  static const auto shared = std::make_shared<const tasks::Segmenters>(dictionaries());
  return shared;
}

}  // namespace namm::testing
