#pragma once

#include <cstdint>
#include <vector>

#include <ATen/ATen.h>

#include "core/config.h"
#include "memory/bam_scorer.h"

namespace namm::memory {

/// A token scored by its own features alone: relu layers, then a linear map to a score. The released code has
/// such a scorer, whose layers after the first do nothing (namm-semantics 5.3); here they work.
struct MlpConfig {
  int64_t hidden_layers = 1;
  int64_t hidden_dim = 32;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("hidden_layers", self.hidden_layers, between(1, 16), "scorer mlp: relu layers before the score");
    visit("hidden_dim", self.hidden_dim, between(1, 4096), "scorer mlp: width of these layers");
  }

  bool operator==(const MlpConfig&) const = default;
};

/// Blocks of theta in their order: hidden_<i>.weight, hidden_<i>.bias for every hidden layer, score.weight,
/// score.bias. Without hidden layers: the linear scorer, 26 parameters for the paper's 25 features.
std::vector<ParameterBlock> mlp_layout(const MlpConfig& config, int64_t features);

/// Score of every token. By the kernels (affine_rows) what else is in the call changes no bit of a token's
/// score.
///   features [N, F] float32, theta [members, n] float32 on the same device; segments cover [0, N). Returns
///   float32 [N]. TORCH_CHECK: theta's width.
at::Tensor mlp_scores(const at::Tensor& features, const std::vector<BamSegment>& segments,
                      const at::Tensor& theta, const MlpConfig& config, Backend backend = Backend::automatic);

/// The same token by token in float64, which it returns.
at::Tensor mlp_scores_reference(const at::Tensor& features, const std::vector<BamSegment>& segments,
                                const at::Tensor& theta, const MlpConfig& config);

}  // namespace namm::memory
