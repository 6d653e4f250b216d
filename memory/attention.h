#pragma once

#include <vector>

#include <ATen/ATen.h>

namespace namm::memory {

/// One stretch of cached tokens of a (row, KV head), oldest first: keys, values [n, d], positions int64 [n].
struct CacheBlock {
  at::Tensor keys, values, positions;
};

struct AttentionResult {
  at::Tensor output;       ///< [T, G, d], dtype of the queries
  at::Tensor log_sum_exp;  ///< float32 [T, G], natural logarithm of the sum of exp(scale * q k)
};

/// Attention of the G query heads of one KV head over the blocks of its cache, in order of position; the last T tokens
/// of the cache are the queries' own. A key counts for a query iff pos[key] <= pos[query] and, with a window, pos[key] >
/// pos[query] - window_tokens. No more than a tile of scores exists at a time; accumulation in float32.
///   queries [T, G, d], query_positions int64 [T], increasing. Every query must see at least its own key.
AttentionResult attention(const at::Tensor& queries, const at::Tensor& query_positions,
                          const std::vector<CacheBlock>& blocks, double scale, int64_t window_tokens);

/// The same by tiles of plain tensor operations, on any device.
AttentionResult attention_reference(const at::Tensor& queries, const at::Tensor& query_positions,
                                    const std::vector<CacheBlock>& blocks, double scale, int64_t window_tokens);

/// Group-mean attention probabilities recomputed from recorded queries and log-sum-exps: mean over the G heads of
/// exp(scale * q k - lse), 0 where pos[key] > pos[query].
///   queries [T, G, d], log_sum_exp [T, G] float32, query_positions int64 [T], keys [n, d], key_positions int64 [n].
/// Returns float32 [n, T] (time last, as `spectrogram` wants it).
at::Tensor group_mean_attention(const at::Tensor& queries, const at::Tensor& log_sum_exp, const at::Tensor& query_positions,
                                const at::Tensor& keys, const at::Tensor& key_positions, double scale,
                                int64_t window_tokens);

}  // namespace namm::memory
