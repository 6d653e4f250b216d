#include "memory/bam_weights.h"

namespace namm::memory {

BamWeights bam_weights(const at::Tensor& theta, const BamConfig& config, int64_t features) {
  BamWeights weights;
  for (const ParameterBlock& block : bam_layout(config, features)) {
    const at::Tensor flat = theta.narrow(0, block.offset, block.rows * block.cols);
    const at::Tensor matrix = flat.view({block.rows, block.cols});
    if (block.name == "qkv.weight") weights.qkv_weight = matrix;
    if (block.name == "qkv.bias") weights.qkv_bias = flat;
    if (block.name == "out.weight") weights.out_weight = matrix;
    if (block.name == "out.bias") weights.out_bias = flat;
    if (block.name == "score.weight") weights.score_weight = matrix;
    if (block.name == "score.bias") weights.score_bias = flat;
  }
  return weights;
}

void check_bam(const at::Tensor& features, const std::vector<BamSegment>& segments, const at::Tensor& theta,
               const BamConfig& config) {
  TORCH_CHECK(features.dim() == 2, "[bam] features must be [tokens, features], are ", features.sizes());
  TORCH_CHECK(config.hidden_dim % config.heads == 0, "[bam] ", config.heads,
              " heads do not divide hidden_dim = ", config.hidden_dim);
  const int64_t n = bam_parameters(config, features.size(1));
  TORCH_CHECK(theta.dim() == 2 && theta.size(1) == n, "[bam] theta must be [members, ", n, "], is ",
              theta.sizes());
  TORCH_CHECK(theta.scalar_type() == features.scalar_type() && theta.device() == features.device(),
              "[bam] theta and features differ in type or device");
  int64_t next = 0;
  for (const BamSegment& segment : segments) {
    TORCH_CHECK(segment.begin == next && segment.end >= segment.begin,
                "[bam] segments must follow one another");
    TORCH_CHECK(segment.member >= 0 && segment.member < theta.size(0), "[bam] member ", segment.member,
                " of ", theta.size(0));
    next = segment.end;
  }
  TORCH_CHECK(next == features.size(0), "[bam] segments end at ", next, " of ", features.size(0), " tokens");
}

at::Tensor affine(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return bias.defined() ? at::addmm(bias, x, weight) : at::mm(x, weight);
}

at::Tensor bam_head(const at::Tensor& features, const at::Tensor& attended, const BamWeights& weights,
                    const BamConfig& config) {
  at::Tensor update = affine(attended, weights.out_weight, weights.out_bias);
  const int64_t width = features.size(1);
  if (config.mult) {
    update = at::addcmul(update.narrow(1, 0, width), features, update.narrow(1, width, width));
  }
  return affine(features + update, weights.score_weight, weights.score_bias).squeeze(1);
}

}  // namespace namm::memory
