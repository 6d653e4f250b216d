#include "experiments/places.h"

#include <cstdlib>
#include <system_error>
#include <vector>

namespace namm::experiments {

std::filesystem::path program_directory() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::filesystem::path(".") : program.parent_path();
}

std::optional<std::filesystem::path> shipped_file(const std::string& name) {
  std::vector<std::filesystem::path> places;
  if (const char* share = std::getenv("NAMM_SHARE"); share != nullptr && *share != '\0')
    places.emplace_back(share);
  const auto directory = program_directory();
  places.push_back(directory / "share" / "namm");
  // build/namm, or a preset's or developer's own folder below build/.
  places.push_back(directory.parent_path());
  places.push_back(directory.parent_path().parent_path());
  std::error_code error;
  for (const auto& place : places) {
    if (std::filesystem::exists(place / name, error)) return place / name;
  }
  return std::nullopt;
}

std::filesystem::path dictionaries_folder() {
  if (const char* folder = std::getenv("NAMM_DICTIONARIES"); folder != nullptr && *folder != '\0')
    return folder;
  std::error_code error;
  const auto holds = [&](const std::filesystem::path& folder) {
    return std::filesystem::exists(folder / "jieba", error) ||
           std::filesystem::exists(folder / "unidic_lite", error);
  };
  const auto beside = program_directory() / "share" / "namm" / "dictionaries";
  if (holds(beside)) return beside;
  const auto libraries = shipped_file(".venv/lib");
  if (!libraries) return {};
  for (std::filesystem::directory_iterator python(*libraries, error), end; !error && python != end;
       python.increment(error)) {
    const auto packages = python->path() / "site-packages";
    if (holds(packages)) return packages;
  }
  return {};
}

}  // namespace namm::experiments
