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

}  // namespace namm::experiments
