#pragma once

#include <cstdint>
#include <vector>

#include <ATen/ATen.h>

#include "memory/kv_cache.h"
#include "memory/spectrogram.h"

namespace namm::memory {

/// Causal attention of one row over its cache in one layer. A key counts for a query iff pos[key] <=
/// pos[query] and, with a window, pos[key] > pos[query] - window_tokens: by positions, for indices move at
/// evictions. No more than a tile of scores exists at a time; accumulation in float32.
///   queries [T, H, d], at positions first_position, first_position + 1, ...; query head r reads KV head r /
///   G. The newest T tokens of `cache` are the queries' own, so every query sees at least its own key. output
///   [T, H, d], contiguous in its last two dimensions, is written; log_sum_exp, where not null, becomes
///   float32 [H, T]: natural logarithm of the sum of exp(scale * q k) over the keys that count.
void attention(const at::Tensor& queries, int64_t first_position, const LayerCache& cache, double scale,
               int64_t window_tokens, const at::Tensor& output, at::Tensor* log_sum_exp);

namespace cpu {

/// The same by LibTorch's flash kernel of the processor, which knows no window: one call a segment and form
/// of mask, their results merged by log-sum-exp.
void attention(const at::Tensor& queries, const LayerCache& cache, double scale, const at::Tensor& output,
               at::Tensor* log_sum_exp);

}  // namespace cpu

/// One stretch of cached tokens of a KV head, oldest first: keys, values [n, d], positions int64 [n],
/// increasing.
struct CacheBlock {
  at::Tensor keys, values, positions;
};

struct AttentionResult {
  at::Tensor output;       ///< [T, G, d], dtype of the queries
  at::Tensor log_sum_exp;  ///< float32 [T, G]; float64 for float64 queries
};

/// Attention of the G query heads of one KV head by tiles of plain tensor operations, on any device; the
/// masks compare positions and nothing else is assumed of the blocks.
///   queries [T, G, d], query_positions int64 [T], increasing. Every query must see at least one key.
AttentionResult attention_reference(const at::Tensor& queries, const at::Tensor& query_positions,
                                    const std::vector<CacheBlock>& blocks, double scale,
                                    int64_t window_tokens);

/// Group-mean attention probabilities recomputed from recorded queries and log-sum-exps: mean over the G
/// heads of exp(scale * q k - lse), 0 where the key does not count for the query. Exact for every key that
/// still exists, whatever was evicted since. `rounding`, where not null, names the type that every head's
/// probabilities and then their mean are rounded to.
///   queries [T, G, d], log_sum_exp [T, G] float32, query_positions int64 [T], keys [n, d], key_positions
///   int64 [n].
/// Returns float32 [n, T] (time last, as `spectrogram` wants it).
at::Tensor group_mean_attention(const at::Tensor& queries, const at::Tensor& log_sum_exp,
                                const at::Tensor& query_positions, const at::Tensor& keys,
                                const at::Tensor& key_positions, double scale, int64_t window_tokens,
                                const SpectrogramConfig* rounding = nullptr);

}  // namespace namm::memory
