#include "experiments/stage_answer.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <system_error>

#include "core/errors.h"

namespace namm::experiments {

namespace {

/// A number in the provenance of a memory.
template <class Number>
std::optional<Number> number_of(const memory::MemoryFile& file, const char* key) {
  const auto found = file.provenance.find(key);
  if (found == file.provenance.end()) return std::nullopt;
  const std::string& text = found->second;
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole ? std::optional(value) : std::nullopt;
}

}  // namespace

std::filesystem::path answer_file(const ExperimentConfig& config, const RunDirectory& directory,
                                  size_t index) {
  const auto evolving =
      std::ranges::count_if(config.stages, [](auto& stage) { return stage.evolve.has_value(); });
  return evolving > 1 ? directory.memory(index) : directory.memory();
}

memory::MemoryFile load_answer(const RunContext& context, const std::filesystem::path& path) {
  auto file = memory::MemoryFile::load(path);
  if (file.provenance["config_sha256"] != context.identity) {
    throw DataError(path.string() + ": evolved with another configuration, model or data than this run's");
  }
  return file;
}

void publish_answer(const RunContext& context, const RunDirectory& directory, const memory::MemoryFile& file,
                    size_t index) {
  std::error_code error;
  if (std::filesystem::exists(directory.memory(), error)) {
    try {
      const auto there = number_of<int64_t>(load_answer(context, directory.memory()), "stage_index");
      if (there && *there >= static_cast<int64_t>(index)) return;
    } catch (const DataError&) {
      // A copy that is damaged, or another run's, is written again.
    }
  }
  file.save(directory.memory());
}

int64_t generations_of(const memory::MemoryFile& file) {
  return number_of<int64_t>(file, "generations").value_or(-1);
}

std::optional<double> sigma_of(const memory::MemoryFile& file) {
  if (file.provenance.contains("stop")) return std::nullopt;
  const auto sigma = number_of<double>(file, "sigma");
  return sigma && *sigma > 0 && std::isfinite(*sigma) ? sigma : std::nullopt;
}

}  // namespace namm::experiments
