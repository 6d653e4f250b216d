#include "memory/bam_scorer.h"

#include "memory/bam_weights.h"
#include "memory/cpu/bam_scorer.h"

namespace namm::memory {

void BamConfig::check(const ConfigNode& node) const {
  if (hidden_dim % heads != 0) {
    node.fail_entry("heads", std::to_string(heads),
                    "a divisor of hidden_dim = " + std::to_string(hidden_dim));
  }
}

std::vector<ParameterBlock> bam_layout(const BamConfig& config, int64_t features) {
  std::vector<ParameterBlock> layout;
  int64_t offset = 0;
  const auto add = [&](const char* name, int64_t rows, int64_t cols) {
    layout.push_back({name, offset, rows, cols});
    offset += rows * cols;
  };
  const int64_t outputs = config.mult ? 2 * features : features;
  add("qkv.weight", features, 3 * config.hidden_dim);
  if (config.bias) add("qkv.bias", 1, 3 * config.hidden_dim);
  add("out.weight", config.hidden_dim, outputs);
  if (config.bias) add("out.bias", 1, outputs);
  add("score.weight", features, 1);
  add("score.bias", 1, 1);
  return layout;
}

int64_t bam_parameters(const BamConfig& config, int64_t features) {
  const ParameterBlock last = bam_layout(config, features).back();
  return last.offset + last.rows * last.cols;
}

namespace {

at::Tensor segment_scores(const at::Tensor& features, const BamWeights& weights, const BamConfig& config) {
  // Newest first, "itself and newer" becomes "itself and earlier": the causal kernel, and no mask of n x n.
  const at::Tensor reversed = features.flip(0);
  const int64_t n = features.size(0), heads = config.heads, width = config.hidden_dim / heads;
  const at::Tensor parts = affine(reversed, weights.qkv_weight, weights.qkv_bias)
                               .view({1, n, 3, heads, width})
                               .permute({2, 0, 3, 1, 4});  // [3, 1, heads, n, width]
  const at::Tensor attended = at::scaled_dot_product_attention(
      parts.select(0, 0), parts.select(0, 1), parts.select(0, 2), {}, 0.0, /*is_causal=*/true);
  return bam_head(reversed, attended.transpose(1, 2).reshape({n, config.hidden_dim}), weights, config)
      .flip(0);
}

}  // namespace

at::Tensor bam_scores(const at::Tensor& features, const std::vector<BamSegment>& segments,
                      const at::Tensor& theta, const BamConfig& config, Backend backend) {
  if (backend == Backend::reference) return bam_scores_reference(features, segments, theta, config);
  check_bam(features, segments, theta, config);
  if (uses_cpu_kernels(backend, features) && features.scalar_type() == at::kFloat)
    return cpu::bam_scores(features, segments, theta, config);
  at::Tensor scores = at::empty({features.size(0)}, features.options());
  for (const BamSegment& segment : segments) {
    const int64_t n = segment.end - segment.begin;
    if (n == 0) continue;
    const BamWeights weights = bam_weights(theta.select(0, segment.member), config, features.size(1));
    scores.narrow(0, segment.begin, n)
        .copy_(segment_scores(features.narrow(0, segment.begin, n), weights, config));
  }
  return scores;
}

}  // namespace namm::memory
