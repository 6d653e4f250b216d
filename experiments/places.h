#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace namm::experiments {

/// Folder of the running program.
std::filesystem::path program_directory();

/// A file that comes with the program, e.g. "models/tiny/namm.h5": looked for in $NAMM_SHARE, in `share/namm`
/// beside the program, and in the source tree that the program was built in. Nothing: it is in none of them.
std::optional<std::filesystem::path> shipped_file(const std::string& name);

/// Folder with the dictionaries jieba/ and unidic_lite/: $NAMM_DICTIONARIES, `share/namm/dictionaries` beside
/// the program, or the Python packages of the source tree's .venv, where ./setup.sh puts them. Empty:
/// nowhere.
std::filesystem::path dictionaries_folder();

}  // namespace namm::experiments
