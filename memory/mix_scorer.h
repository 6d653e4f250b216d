#pragma once

#include <vector>

#include <ATen/ATen.h>

#include "memory/eviction_policy.h"
#include "memory/namm_config.h"

namespace namm::memory {

/// The evidence of all heads of a token, weighed: the mark of a needed token is in the pattern over heads,
/// not in one head's numbers. With z[t, l, h, :] the normalised spectral features of token t in layer l, KV
/// head h, and e(t) the recency embedding of its age (tokens between it and the newest read):
///
///   score[t] = sum over ranks r, and heads (l, h) that hold t, of a_r[l, h] (z[t, l, h, :] . w_r)
///              + e(t) . u + b
///
/// A head that no longer holds t has no features of it and adds nothing; what is left is not rescaled.
///
/// The parameters are coordinates of the search, scaled so that one step size (about 0.3) suits all, and 0 is
/// where it starts, a uniform mixture of the constant bin (that is, of smoothed attention):
///   a_1 = 1 / (L Hk) + 0.1 x     w_1 = (1, 0, ..., 0) + 0.5 x
///   a_r = 0.1 x                  w_r = (1, ..., 1) / D + 0.5 x     further ranks, silent at first
///   u = 0.1 x                    b = x
/// Ours; there is no paper.
struct MixWeights {
  at::Tensor heads;     ///< [rank, L, Hk], a
  at::Tensor features;  ///< [rank, D], w
  at::Tensor recency;   ///< [dimension], u
  at::Tensor bias;      ///< [1], b
};

/// Blocks of theta in their order: mix.heads [rank, L * Hk], mix.features [rank, D], recency.weight,
/// score.bias.
std::vector<ParameterBlock> mix_layout(const NammConfig& config);

/// theta float32 [n], one member's.
MixWeights mix_weights(const at::Tensor& theta, const NammConfig& config);

/// The tokens of one row that at least one head holds.
struct MixedTokens {
  at::Tensor positions;  ///< int64 [U], increasing
  at::Tensor scores;     ///< float32 [U]
};

/// Scores of every row of the view, in its order. By the kernels (affine_rows) neither other rows nor their
/// order change a bit.
///   features: of every layer of the view, float32 [N, D] packed as the layer, normalised; theta float32
///   [members, n]. TORCH_CHECK: the view has every layer of the config's Transformer, and its heads.
std::vector<MixedTokens> mix_scores(const UpdateView& view, const std::vector<at::Tensor>& features,
                                    const at::Tensor& theta, const NammConfig& config);

/// The same token by token and head by head in float64, on the processor. mix_scores gives these, in float32,
/// where the view's backend is `reference`.
std::vector<MixedTokens> mix_scores_reference(const UpdateView& view, const std::vector<at::Tensor>& features,
                                              const at::Tensor& theta, const NammConfig& config);

}  // namespace namm::memory
