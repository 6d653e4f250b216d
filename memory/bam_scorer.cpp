#include "memory/bam_scorer.h"

#include "memory/bam_weights.h"
#include "memory/cpu/bam_scorer.h"
#include "memory/cpu/parallel.h"

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

// Attention of q, k, v [heads, n, width] in which token i sees itself and newer ones.
at::Tensor attend_to_newer(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  // Newest first, "itself and newer" becomes "itself and earlier": the causal kernel, and no mask of n x n.
  const auto reversed = [](const at::Tensor& x) { return x.flip(1).unsqueeze(0); };
  return at::scaled_dot_product_attention(reversed(q), reversed(k), reversed(v), {}, 0.0, /*is_causal=*/true)
      .squeeze(0)
      .flip(1);
}

at::Tensor segment_scores(const at::Tensor& features, const BamWeights& weights, const BamConfig& config,
                          bool kernels) {
  const int64_t n = features.size(0), heads = config.heads, width = config.hidden_dim / heads;
  const at::Tensor qkv = affine(features, weights.qkv_weight, weights.qkv_bias)
                             .view({n, 3, heads, width})
                             .permute({1, 2, 0, 3})
                             .contiguous();  // [3, heads, n, width]
  const at::Tensor q = qkv.select(0, 0), k = qkv.select(0, 1), v = qkv.select(0, 2);
  const at::Tensor attended = kernels ? cpu::attend_to_newer(q, k, v) : attend_to_newer(q, k, v);
  return bam_head(features, attended.transpose(0, 1).reshape({n, config.hidden_dim}), weights, config);
}

}  // namespace

at::Tensor bam_scores(const at::Tensor& features, const std::vector<BamSegment>& segments,
                      const at::Tensor& theta, const BamConfig& config, Backend backend) {
  if (backend == Backend::reference) return bam_scores_reference(features, segments, theta, config);
  check_bam(features, segments, theta, config);
  at::Tensor scores = at::empty({features.size(0)}, features.options());
  const bool kernels = uses_cpu_kernels(backend, features) && features.scalar_type() == at::kFloat;
  const auto score = [&](const BamSegment& segment) {
    const int64_t n = segment.end - segment.begin;
    if (n == 0) return;
    const BamWeights weights = bam_weights(theta.select(0, segment.member), config, features.size(1));
    scores.narrow(0, segment.begin, n)
        .copy_(segment_scores(features.narrow(0, segment.begin, n), weights, config, kernels));
  };
  if (!kernels) {
    for (const BamSegment& segment : segments) score(segment);
    return scores;
  }
  cpu::parallel_tasks(static_cast<int64_t>(segments.size()),
                      [&](int64_t i, cpu::Scratch&) { score(segments[static_cast<size_t>(i)]); });
  return scores;
}

}  // namespace namm::memory
