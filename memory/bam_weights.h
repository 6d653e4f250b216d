#pragma once

#include <ATen/ATen.h>

#include "memory/bam_scorer.h"

namespace namm::memory {

/// One member's theta [n] as matrices (views): y = x W + b. Biases that the config leaves out are undefined.
struct BamWeights {
  at::Tensor qkv_weight;    ///< [F, 3 * hidden]
  at::Tensor qkv_bias;      ///< [3 * hidden]
  at::Tensor out_weight;    ///< [hidden, F or 2 F]
  at::Tensor out_bias;      ///< [F or 2 F]
  at::Tensor score_weight;  ///< [F, 1]
  at::Tensor score_bias;    ///< [1]
};

BamWeights bam_weights(const at::Tensor& theta, const BamConfig& config, int64_t features);

/// TORCH_CHECK of the contract of bam_scores.
void check_bam(const at::Tensor& features, const std::vector<BamSegment>& segments, const at::Tensor& theta,
               const BamConfig& config);

/// x W + b, b may be undefined.
at::Tensor affine(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// Residual and final map: features [n, F], attention output [n, hidden] -> scores [n].
at::Tensor bam_head(const at::Tensor& features, const at::Tensor& attended, const BamWeights& weights,
                    const BamConfig& config);

}  // namespace namm::memory
