#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "memory/namm_config.h"
#include "memory/normalisation.h"

namespace namm::memory {

/// An evolved memory as a file (`.h5`, about 30 kB): constants, parameters with their name/shape/offset
/// table, statistics, where it was evolved. Pure data: loading runs no code.
struct MemoryFile {
  static constexpr int64_t format_version = 1;

  NammConfig config;
  std::vector<float> parameters;  ///< [n], order of config.layout()
  FeatureStatistics statistics;
  std::map<std::string, std::string>
      provenance;  ///< e.g. run, generation, git_revision, model_sha256, tasks; free keys

  /// Temporary name, fsync, rename. Throws DataError for parameters of another count, InfrastructureError for
  /// the disk.
  void save(const std::filesystem::path& path) const;

  /// Throws DataError: missing, not HDF5, truncated, another format version, a parameter count or layout that
  /// the constants do not give, damaged content.
  static MemoryFile load(const std::filesystem::path& path);

  /// Throws DataError naming the first constant in which `wanted` differs in a way that changes what the
  /// parameters mean (features, scorer, model); period, head mode, cap, positions, and what a mixture
  /// protects and keeps may differ.
  void require_same_network(const NammConfig& wanted, const std::string& where) const;

  /// SHA-256 of constants, parameters and statistics; provenance does not count.
  std::string sha256() const;

  /// Parameters as theta [1, n].
  at::Tensor theta() const;
};

}  // namespace namm::memory
