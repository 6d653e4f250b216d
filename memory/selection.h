#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "memory/eviction_policy.h"

namespace namm::memory {

/// How many tokens the heads of a layer keep: `ragged`, every head exactly its own; `parity`, as the released
/// code, all heads of a layer and row as many as the most generous one (namm-semantics 6.1, 10.1). Never
/// across rows.
enum class HeadMode { ragged, parity };

/// "ragged" or "parity"; throws ConfigError for anything else.
HeadMode head_mode(const std::string& name);
std::string to_string(HeadMode mode);

/// Which of two tokens with equal scores is kept first.
enum class TieRule { newer_kept, older_kept };

/// Place of every token in the order of falling scores of its segment, 0 the best. NaN comes last.
///   scores float32 [N], offsets [segments + 1] as LayerView. Returns int64 [N].
at::Tensor ranks_in_segments(const at::Tensor& scores, const std::vector<int64_t>& offsets, TieRule ties);

/// Tokens with score >= 0, the newest of each segment always, and the protected ones; NaN counts as below. In
/// `parity` every head then keeps its K best, K the largest such count of its row; on ties the newer token is
/// kept. With a cap (0: none) only the `cache_cap` best of a segment are considered, protected ones first.
///   scores float32 [N], offsets [rows * kv_heads + 1]; protected_tokens bool [N] or undefined.
KeepDecision select_threshold(const at::Tensor& scores, const std::vector<int64_t>& offsets, int64_t kv_heads,
                              HeadMode mode, int64_t cache_cap = 0, const at::Tensor& protected_tokens = {});

/// Tokens with score >= 0 of every segment, the newest counted in: int32 [rows, kv_heads], kappa of
/// namm-semantics 6.1.
at::Tensor count_above(const at::Tensor& scores, const std::vector<int64_t>& offsets, int64_t kv_heads);

/// What one segment may keep.
struct SegmentBudget {
  int64_t tokens = 0;  ///< in all; a shorter segment keeps everything
  int64_t recent =
      1;  ///< of these, the newest that go before all others; policies set at least 1, the newest must stay
  int64_t sinks = 0;  ///< then those at positions below this one
};

/// The best tokens of every segment within its budget: first those that the layer protects, which widen the
/// budget where they are more, then the policy's own `recent` newest, then its sinks, then by score. On ties
/// the older token is kept; NaN comes last.
///   scores float32 [N] in the layer's order; budgets [rows * kv_heads].
KeepDecision select_top(const at::Tensor& scores, const LayerView& layer, int64_t kv_heads,
                        const std::vector<SegmentBudget>& budgets);

}  // namespace namm::memory
