#pragma once

#include <cstdint>
#include <vector>

#include <ATen/ATen.h>

#include "memory/eviction_policy.h"
#include "memory/kv_cache.h"

namespace namm::memory {

/// Queries that a row asked in one step of one layer, with what is needed to recompute their attention.
/// Immutable, so forks share them.
struct QueryBlock {
  at::Tensor queries;      ///< [T, H, d], own storage
  at::Tensor log_sum_exp;  ///< float32 [H, T], as it was when they attended
  int64_t first_position = 0;
};

/// What a row keeps of the attention of one layer: the queries since its last update and the
/// `context_queries` before them (left context of the spectrogram), and the numbers that each token carries
/// from update to update.
struct AttentionRecord {
  std::vector<QueryBlock> blocks;  ///< oldest first
  std::vector<int64_t>
      known;               ///< [Hk], tokens that were cached after the last update; the first of every head
  at::Tensor ema;          ///< float32 [sum of known, D], packed by head; undefined before the first update
  at::Tensor column_sums;  ///< float32 [sum of known]; the same

  /// Drops all but the last `context_queries` queries.
  void keep_context(int64_t context_queries);
};

/// Per-token numbers of one row and layer in the order of LayerCache::packed_*. Undefined where not needed.
struct TokenFeatures {
  at::Tensor ema;               ///< float32 [tokens, D]
  at::Tensor column_sums;       ///< float32 [tokens]
  at::Tensor key_norms;         ///< float32 [tokens]
  at::Tensor recent_attention;  ///< float32 [tokens]
  at::Tensor key_similarity;    ///< float32 [tokens]
};

/// Attention settings of the layer, as the model passed them to namm::attend.
struct LayerAttention {
  double scale = 0;
  int64_t window_tokens = 0;
};

/// Features at an update after `new_queries` queries since the last one, by tiles of keys: attention is
/// recomputed from queries and log-sum-exps (exact for every token that is still cached), never held whole.
TokenFeatures token_features(const LayerCache& cache, const AttentionRecord& record,
                             const LayerAttention& attention, int64_t new_queries, const Needs& needs);

}  // namespace namm::memory
