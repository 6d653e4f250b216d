#pragma once

#include <string>

namespace namm {

/// What this program was built from. In a library of its own (namm_build_info), so that a commit relinks the
/// program only.
struct BuildInfo {
  std::string version;       ///< of the project, "0.1.0"
  std::string git_revision;  ///< 40 letters, or "unknown" outside a git checkout
  bool git_dirty = false;    ///< tracked files differed from the revision
  std::string compiler;      ///< "GNU 12.2.0"
  std::string build_type;    ///< "Release"
};

const BuildInfo& build_info();

}  // namespace namm
