#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/ATen.h>

#include "memory/backend.h"
#include "memory/kv_cache.h"
#include "memory/spectrogram.h"

namespace namm::memory {

/// One row of a packed step in one layer: its `tokens` queries stand at [offset, offset + tokens) of the step
/// and at positions first_position, first_position + 1, ...; the newest `tokens` of its cache are their own.
struct AttentionRow {
  const LayerCache* cache = nullptr;
  int64_t first_position = 0;
  int64_t offset = 0;
  int64_t tokens = 0;
};

/// Causal attention of the rows of a step, each over its own cache, prefill and decode side by side. A key
/// counts for a query iff pos[key] <= pos[query] and, with a window, pos[key] > pos[query] - window_tokens:
/// by positions, for indices move at evictions. No more than a tile of scores exists at a time; accumulation
/// in float32. A row's bits do not depend on the other rows; with the kernels, nor on the number of threads.
///   queries [S, H, d]; query head r reads KV head r / G. output [S, H, d], contiguous in its last two
///   dimensions, is written; log_sum_exp, where not null, becomes float32 [H, S]: natural logarithm of the
///   sum of exp(scale * q k) over the keys that count.
void attention(const at::Tensor& queries, std::span<const AttentionRow> rows, double scale,
               int64_t window_tokens, const at::Tensor& output, at::Tensor* log_sum_exp,
               Backend backend = Backend::automatic);

namespace cpu {

/// The same by the kernel of attention_kernel.h, arguments checked; log_sum_exp [H, S] contiguous.
void attention(const at::Tensor& queries, std::span<const AttentionRow> rows, double scale,
               int64_t window_tokens, const at::Tensor& output, const at::Tensor& log_sum_exp);

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
