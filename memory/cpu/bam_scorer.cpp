#include "memory/cpu/bam_scorer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "memory/bam_weights.h"
#include "memory/cpu/attention_kernel.h"
#include "memory/cpu/linear_kernel.h"
#include "memory/cpu/parallel.h"

namespace namm::memory::cpu {
namespace {

constexpr int64_t kBlockTokens = 384;

struct Block {
  size_t segment;
  int64_t first, count;  // tokens of the call
};

const float* data_of(const at::Tensor& x) {
  return x.defined() ? x.const_data_ptr<float>() : nullptr;
}

}  // namespace

at::Tensor bam_scores(const at::Tensor& features, const std::vector<BamSegment>& segments,
                      const at::Tensor& theta, const BamConfig& config) {
  const at::Tensor z = features.contiguous(), parameters = theta.contiguous();
  const int64_t tokens = z.size(0), inputs = z.size(1), hidden = config.hidden_dim;
  const int64_t heads = config.heads, width = hidden / heads;
  std::vector<BamWeights> weights;
  std::vector<Block> blocks;
  int64_t longest = 0;
  for (size_t s = 0; s < segments.size(); ++s) {
    weights.push_back(bam_weights(parameters.select(0, segments[s].member), config, inputs));
    longest = std::max(longest, segments[s].end - segments[s].begin);
    // The oldest tokens, which see most, come first: their blocks take longest.
    for (int64_t first = segments[s].begin; first < segments[s].end; first += kBlockTokens)
      blocks.push_back({s, first, std::min(kBlockTokens, segments[s].end - first)});
  }
  const auto block_count = static_cast<int64_t>(blocks.size());

  // Queries (scaled), keys, values of every head, each [tokens, width].
  at::Tensor projected = at::empty({3, heads, tokens, width}, z.options());
  float* const parts = projected.mutable_data_ptr<float>();
  const auto part = [&](int64_t which, int64_t head, int64_t token) {
    return parts + ((which * heads + head) * tokens + token) * width;
  };
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(width)));
  parallel_tasks(block_count, [&](int64_t i, Scratch& scratch) {
    const Block& block = blocks[static_cast<size_t>(i)];
    float* const qkv = scratch.take<float>(static_cast<size_t>(block.count * 3 * hidden));
    multiply_rows({.x = z.const_data_ptr<float>() + block.first * inputs,
                   .rows = static_cast<size_t>(block.count),
                   .inputs = static_cast<size_t>(inputs),
                   .outputs = static_cast<size_t>(3 * hidden),
                   .weight = data_of(weights[block.segment].qkv_weight),
                   .bias = data_of(weights[block.segment].qkv_bias),
                   .y = qkv},
                  scratch);
    for (int64_t t = 0; t < block.count; ++t) {
      for (int64_t which = 0; which < 3; ++which) {
        for (int64_t head = 0; head < heads; ++head) {
          const float* from = qkv + (t * 3 + which) * hidden + head * width;
          float* to = part(which, head, block.first + t);
          for (int64_t k = 0; k < width; ++k) to[k] = which == 0 ? from[k] * scale : from[k];
        }
      }
    }
  });

  std::vector<int64_t> positions(static_cast<size_t>(longest));
  std::iota(positions.begin(), positions.end(), int64_t{0});
  at::Tensor scores = at::empty({tokens}, z.options());
  const int64_t updates = config.mult ? 2 * inputs : inputs;
  parallel_tasks(block_count, [&](int64_t i, Scratch& scratch) {
    const Block& block = blocks[static_cast<size_t>(i)];
    const BamSegment& segment = segments[block.segment];
    const BamWeights& weight = weights[block.segment];
    const auto rows = static_cast<size_t>(block.count);
    float* const attended = scratch.take<float>(rows * static_cast<size_t>(hidden));
    float* const of_head = scratch.take<float>(rows * static_cast<size_t>(width));
    float* const sums = scratch.take<float>(rows);
    for (int64_t head = 0; head < heads; ++head) {
      const Tokens all{.keys = part(1, head, segment.begin),
                       .values = part(2, head, segment.begin),
                       .count = static_cast<size_t>(segment.end - segment.begin)};
      attend_rows({.queries = part(0, head, block.first),
                   .positions = positions.data() + (block.first - segment.begin),
                   .rows = rows,
                   .head_dim = static_cast<size_t>(width),
                   .tokens = {&all, 1},
                   .visibility = {.rule = Visibility::Rule::newer},
                   .output = of_head,
                   .log_sum_exp = sums},
                  scratch);
      for (int64_t t = 0; t < block.count; ++t)
        std::copy_n(of_head + t * width, width, attended + t * hidden + head * width);
    }
    float* const update = scratch.take<float>(rows * static_cast<size_t>(updates));
    multiply_rows({.x = attended,
                   .rows = rows,
                   .inputs = static_cast<size_t>(hidden),
                   .outputs = static_cast<size_t>(updates),
                   .weight = data_of(weight.out_weight),
                   .bias = data_of(weight.out_bias),
                   .y = update},
                  scratch);
    const float* const last = data_of(weight.score_weight);
    float* const out = scores.mutable_data_ptr<float>() + block.first;
    for (int64_t t = 0; t < block.count; ++t) {
      const float* token = z.const_data_ptr<float>() + (block.first + t) * inputs;
      const float* change = update + t * updates;
      float score = *data_of(weight.score_bias);
      for (int64_t f = 0; f < inputs; ++f) {
        const float gate = config.mult ? 1.0f + change[inputs + f] : 1.0f;
        score += (token[f] * gate + change[f]) * last[f];
      }
      out[t] = score;
    }
  });
  return scores;
}

}  // namespace namm::memory::cpu
