#include <cmath>
#include <limits>

#include "memory/bam_scorer.h"
#include "memory/bam_weights.h"

namespace namm::memory {

at::Tensor bam_scores_reference(const at::Tensor& features, const std::vector<BamSegment>& segments,
                                const at::Tensor& theta, const BamConfig& config) {
  check_bam(features, segments, theta, config);
  const int64_t hidden = config.hidden_dim, width = hidden / config.heads, inputs = features.size(1);
  at::Tensor scores = at::empty({features.size(0)}, features.options());
  for (const BamSegment& segment : segments) {
    const int64_t n = segment.end - segment.begin;
    if (n == 0) continue;
    const BamWeights weights = bam_weights(theta.select(0, segment.member), config, inputs);
    const at::Tensor z = features.narrow(0, segment.begin, n);
    at::Tensor qkv = at::matmul(z, weights.qkv_weight);
    if (config.bias) qkv = qkv + weights.qkv_bias;
    const at::Tensor is_older =
        at::ones({n, n}, z.options().dtype(at::kBool)).tril(-1);  // column older than row
    std::vector<at::Tensor> outputs;
    for (int64_t head = 0; head < config.heads; ++head) {
      const at::Tensor q = qkv.narrow(1, head * width, width);
      const at::Tensor k = qkv.narrow(1, hidden + head * width, width);
      const at::Tensor v = qkv.narrow(1, 2 * hidden + head * width, width);
      const at::Tensor logits = at::matmul(q, k.t()) / std::sqrt(static_cast<double>(width));
      const at::Tensor masked = logits.masked_fill(is_older, -std::numeric_limits<double>::infinity());
      outputs.push_back(at::matmul(at::softmax(masked, 1), v));
    }
    at::Tensor update = at::matmul(at::cat(outputs, 1), weights.out_weight);
    if (config.bias) update = update + weights.out_bias;
    const at::Tensor additive = update.narrow(1, 0, inputs);
    const at::Tensor y = config.mult ? z * (1 + update.narrow(1, inputs, inputs)) + additive : z + additive;
    scores.narrow(0, segment.begin, n)
        .copy_(at::matmul(y, weights.score_weight).squeeze(1) + weights.score_bias);
  }
  return scores;
}

}  // namespace namm::memory
