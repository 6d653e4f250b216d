#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace namm::testing {

/// What the include graph of a source tree breaks, one sentence each; empty when all is well. Checked: the
/// order of the folders (core < memory < models, core < evolution, core < tasks, experiments on top of all),
/// cycles between files, root relative includes that name a file, no Torch in core, evolution and tasks,
/// spdlog in core/log.cpp only, yaml-cpp and HDF5 in core only, the C library of NATS in evolution only.
std::vector<std::string> include_violations(const std::filesystem::path& root);

/// Number of source files that include_violations looks at.
std::size_t source_file_count(const std::filesystem::path& root);

}  // namespace namm::testing
