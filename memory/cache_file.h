#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "memory/row_state.h"
#include "memory/session.h"

namespace namm::memory {

/// What a saved cache belongs to, by name: model, memory, policy and every setting that counts.
using CacheIdentity = std::vector<std::pair<std::string, std::string>>;

/// What one row has read, as a file (`.h5`): kept keys and values with their positions, moving averages,
/// column sums, the queries that the next update looks back at, protected spans, counters, and the logits
/// after the newest token. A session that adopts it goes on as if it had read the text itself, bit for bit.
struct SavedCache {
  static constexpr int64_t format_version = 2;

  RowState row;
  at::Tensor logits;  ///< float32 [vocabulary] on the processor
  CacheIdentity identity;

  /// `options`: those of the row's session. Temporary name, fsync, rename. Throws InfrastructureError for the
  /// disk.
  void save(const std::filesystem::path& path, const SessionOptions& options) const;

  /// Throws DataError: missing, no cache file, truncated, damaged, another format version; an identity that
  /// differs from `wanted`, naming both sides; content that no session of these options can have left.
  static SavedCache load(const std::filesystem::path& path, const SessionOptions& options,
                         const CacheIdentity& wanted);
};

}  // namespace namm::memory
