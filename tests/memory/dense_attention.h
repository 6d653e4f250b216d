#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include <ATen/ATen.h>

namespace namm::testing {

struct DenseAttention {
  at::Tensor probabilities;  // [G, T, n]
  at::Tensor output;         // [T, G, d]
  at::Tensor log_sum_exp;    // [T, G]
};

/// Attention of one KV head with everything held in float64: the oracle. queries [T, G, d], keys, values [n,
/// d].
inline DenseAttention dense_attention(const at::Tensor& queries, const at::Tensor& query_positions,
                                      const at::Tensor& keys, const at::Tensor& values,
                                      const at::Tensor& key_positions, double scale,
                                      int64_t window_tokens = 0) {
  const at::Tensor q = queries.to(at::kDouble).transpose(0, 1);
  at::Tensor scores = at::matmul(q, keys.to(at::kDouble).t()).mul_(scale);
  const at::Tensor age = query_positions.unsqueeze(1) - key_positions.unsqueeze(0);
  at::Tensor hidden = age < 0;
  if (window_tokens > 0) hidden = hidden.logical_or(age >= window_tokens);
  scores.masked_fill_(hidden, -std::numeric_limits<double>::infinity());
  const at::Tensor log_sum_exp = at::logsumexp(scores, at::IntArrayRef{-1});
  const at::Tensor probabilities = (scores - log_sum_exp.unsqueeze(-1)).exp();
  return {probabilities, at::matmul(probabilities, values.to(at::kDouble)).transpose(0, 1), log_sum_exp.t()};
}

}  // namespace namm::testing
