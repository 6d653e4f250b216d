#pragma once

#include <cstdint>
#include <vector>

#include <ATen/ATen.h>

#include "memory/eviction_policy.h"
#include "memory/token_features.h"

namespace namm::memory {

/// What `memory.backend: check` compares. Each fails with an error that begins with [check] and names the
/// layer, the head, the token, both numbers and the tolerance of the first difference.

/// output [S, H, d] and log_sum_exp [H, S] of a step.
void check_attention(int64_t layer, const at::Tensor& output, const at::Tensor& reference_output,
                     const at::Tensor& log_sum_exp, const at::Tensor& reference_log_sum_exp);

/// Features of one row; lengths [Hk], positions int64 [tokens] of its cache, packed by head.
void check_features(int64_t layer, const TokenFeatures& features, const TokenFeatures& reference,
                    const std::vector<int64_t>& lengths, const at::Tensor& positions, const Needs& needs);

/// Scores that two backends gave to the tokens of a layer, where the policy has scores.
void check_scores(const LayerView& layer, int64_t kv_heads, const at::Tensor& scores,
                  const at::Tensor& reference);

/// No feature of any layer is NaN or infinite. Throws DataError, which names the first layer, row and head:
/// the model is broken, or a saved cache was made up. One read-back.
void check_finite(const UpdateView& view);

}  // namespace namm::memory
