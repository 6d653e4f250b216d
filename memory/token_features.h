#pragma once

#include <cstdint>
#include <vector>

#include <ATen/ATen.h>

#include "memory/backend.h"
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

  /// All recorded queries side by side, [T, H, d] and [H, T].
  at::Tensor queries() const;
  at::Tensor log_sum_exp() const;

  int64_t bytes() const;  ///< of all tensors above

  /// Drops all but the last `context_queries` queries.
  void keep_context(int64_t context_queries);
};

/// Per-token numbers of one row and layer in the order of LayerCache::packed_*. Undefined where not needed.
struct TokenFeatures {
  at::Tensor ema;                 ///< float32 [tokens, D]
  at::Tensor column_sums;         ///< float32 [tokens]
  at::Tensor key_norms;           ///< float32 [tokens]
  at::Tensor recent_attention;    ///< float32 [tokens]
  at::Tensor key_similarity;      ///< float32 [tokens]
  at::Tensor expected_attention;  ///< float32 [tokens]
};

/// Attention settings of the layer, as the model passed them to namm::attend.
struct LayerAttention {
  double scale = 0;
  int64_t window_tokens = 0;
};

/// Features at an update after `new_queries` queries since the last one, by tiles of keys: attention is
/// recomputed from queries and log-sum-exps (exact for every token that is still cached), never held whole.
TokenFeatures token_features(const LayerCache& cache, const AttentionRecord& record,
                             const LayerAttention& attention, int64_t new_queries, const Needs& needs,
                             Backend backend = Backend::automatic);

/// Queries from before the last update, for which the keys stood at other places (PositionMode::compacted).
struct EarlierQueries {
  int64_t first = 0, count = 0;  ///< among the recorded queries
  at::Tensor keys;  ///< [rows, d] of the cache's first segment, as they stood then; later segments
                    ///< hold newer tokens only, which none of these queries saw
};

/// What the recorded queries of one row and layer say of its tokens, and what is wanted of it.
struct AttentionFeatureInput {
  at::Tensor queries;                   ///< [T, H, d], the last ones
  at::Tensor log_sum_exp;               ///< float32 [H, T]
  int64_t first_position = 0;           ///< of the queries
  int64_t new_queries = 0;              ///< the last of them, asked since the last update
  int64_t absent_queries = 0;           ///< context of the first frame that no query gave: zeros stand for it
  std::vector<EarlierQueries> earlier;  ///< newest first; empty where the keys stand as they did
  const LayerAttention* attention = nullptr;
  const Needs* needs = nullptr;
};

/// Adds to `features`, whose numbers are those carried over from the last update (ema, column_sums; 0 for new
/// tokens), what the queries say. By plain tensor operations, on any device.
void attention_features_reference(const LayerCache& cache, const AttentionFeatureInput& input,
                                  TokenFeatures& features);

namespace cpu {

/// The same by the kernels: a tile of keys meets all queries, its attention is transformed and averaged
/// before the next one comes.
void attention_features(const LayerCache& cache, const AttentionFeatureInput& input, TokenFeatures& features);

}  // namespace cpu

}  // namespace namm::memory
