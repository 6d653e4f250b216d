#include "memory/cpu/bam_scorer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "memory/bam_weights.h"
#include "memory/cpu/attention_kernel.h"
#include "memory/cpu/linear_kernel.h"
#include "memory/cpu/parallel.h"

namespace namm::memory::cpu {
namespace {

constexpr int64_t kBlockTokens = 384;

// Tokens whose projections stand beside the features at once, where no segment alone is longer.
constexpr int64_t kProjectedTokens = 16384;

struct Block {
  size_t segment;
  int64_t first, count;  // tokens of the segment
};

const float* data_of(const at::Tensor& x) {
  return x.defined() ? x.const_data_ptr<float>() : nullptr;
}

// Some segments of a call, scored together.
class Batch {
 public:
  Batch(std::span<const BamSegment> segments, const at::Tensor& z, const at::Tensor& theta,
        const BamConfig& config)
      : segments_(segments), config_(config), inputs_(z.size(1)), z_(z.const_data_ptr<float>()) {
    for (size_t s = 0; s < segments.size(); ++s) {
      const int64_t length = segments[s].end - segments[s].begin;
      weights_.push_back(bam_weights(theta.select(0, segments[s].member), config, inputs_));
      starts_.push_back(tokens_);
      tokens_ += length;
      longest_ = std::max(longest_, length);
      // The oldest tokens, which see most, come first: their blocks take longest.
      for (int64_t first = 0; first < length; first += kBlockTokens)
        blocks_.push_back({s, first, std::min(kBlockTokens, length - first)});
    }
  }

  /// scores: of all tokens of the call.
  void score(float* scores) {
    project();
    attend(scores);
  }

 private:
  int64_t hidden() const { return config_.hidden_dim; }
  int64_t width() const { return config_.hidden_dim / config_.heads; }
  const float* token(const Block& block) const {
    return z_ + (segments_[block.segment].begin + block.first) * inputs_;
  }
  /// Queries (scaled), keys, values of every head, each [tokens of the batch, width].
  float* part(int64_t which, int64_t head, size_t segment, int64_t token) const {
    return parts_ + ((which * config_.heads + head) * tokens_ + starts_[segment] + token) * width();
  }

  void project() {
    projected_ = at::empty({3, config_.heads, tokens_, width()}, at::kFloat);
    parts_ = projected_.mutable_data_ptr<float>();
    const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(width())));
    parallel_tasks(std::ssize(blocks_), [&](int64_t i, Scratch& scratch) {
      const Block& block = blocks_[static_cast<size_t>(i)];
      float* const qkv = scratch.take<float>(static_cast<size_t>(block.count * 3 * hidden()));
      multiply_rows({.x = token(block),
                     .rows = static_cast<size_t>(block.count),
                     .inputs = static_cast<size_t>(inputs_),
                     .outputs = static_cast<size_t>(3 * hidden()),
                     .weight = data_of(weights_[block.segment].qkv_weight),
                     .bias = data_of(weights_[block.segment].qkv_bias),
                     .y = qkv},
                    scratch);
      for (int64_t t = 0; t < block.count; ++t) {
        for (int64_t which = 0; which < 3; ++which) {
          for (int64_t head = 0; head < config_.heads; ++head) {
            const float* from = qkv + (t * 3 + which) * hidden() + head * width();
            float* to = part(which, head, block.segment, block.first + t);
            for (int64_t k = 0; k < width(); ++k) to[k] = which == 0 ? from[k] * scale : from[k];
          }
        }
      }
    });
  }

  void attend(float* scores) const {
    std::vector<int64_t> positions(static_cast<size_t>(longest_));
    std::iota(positions.begin(), positions.end(), int64_t{0});
    const int64_t updates = config_.mult ? 2 * inputs_ : inputs_;
    parallel_tasks(std::ssize(blocks_), [&](int64_t i, Scratch& scratch) {
      const Block& block = blocks_[static_cast<size_t>(i)];
      const BamSegment& segment = segments_[block.segment];
      const BamWeights& weight = weights_[block.segment];
      const auto rows = static_cast<size_t>(block.count);
      float* const attended = scratch.take<float>(rows * static_cast<size_t>(hidden()));
      float* const of_head = scratch.take<float>(rows * static_cast<size_t>(width()));
      float* const sums = scratch.take<float>(rows);
      for (int64_t head = 0; head < config_.heads; ++head) {
        const Tokens all{.keys = part(1, head, block.segment, 0),
                         .values = part(2, head, block.segment, 0),
                         .count = static_cast<size_t>(segment.end - segment.begin)};
        attend_rows({.queries = part(0, head, block.segment, block.first),
                     .positions = positions.data() + block.first,
                     .rows = rows,
                     .head_dim = static_cast<size_t>(width()),
                     .tokens = {&all, 1},
                     .visibility = {.rule = Visibility::Rule::newer},
                     .output = of_head,
                     .log_sum_exp = sums},
                    scratch);
        for (int64_t t = 0; t < block.count; ++t)
          std::copy_n(of_head + t * width(), width(), attended + t * hidden() + head * width());
      }
      float* const update = scratch.take<float>(rows * static_cast<size_t>(updates));
      multiply_rows({.x = attended,
                     .rows = rows,
                     .inputs = static_cast<size_t>(hidden()),
                     .outputs = static_cast<size_t>(updates),
                     .weight = data_of(weight.out_weight),
                     .bias = data_of(weight.out_bias),
                     .y = update},
                    scratch);
      const float* const last = data_of(weight.score_weight);
      float* const out = scores + segment.begin + block.first;
      for (int64_t t = 0; t < block.count; ++t) {
        const float* seen = token(block) + t * inputs_;
        const float* change = update + t * updates;
        float score = *data_of(weight.score_bias);
        for (int64_t f = 0; f < inputs_; ++f) {
          const float gate = config_.mult ? 1.0f + change[inputs_ + f] : 1.0f;
          score += (seen[f] * gate + change[f]) * last[f];
        }
        out[t] = score;
      }
    });
  }

  std::span<const BamSegment> segments_;
  const BamConfig& config_;
  int64_t inputs_;
  const float* z_;
  std::vector<BamWeights> weights_;
  std::vector<int64_t> starts_;
  std::vector<Block> blocks_;
  int64_t tokens_ = 0, longest_ = 0;
  at::Tensor projected_;
  float* parts_ = nullptr;
};

}  // namespace

at::Tensor bam_scores(const at::Tensor& features, const std::vector<BamSegment>& segments,
                      const at::Tensor& theta, const BamConfig& config) {
  const at::Tensor z = features.contiguous(), parameters = theta.contiguous();
  at::Tensor scores = at::empty({z.size(0)}, z.options());
  for (size_t first = 0; first < segments.size();) {
    size_t last = first;
    int64_t tokens = 0;
    do {
      tokens += segments[last].end - segments[last].begin;
      ++last;
    } while (last < segments.size() && tokens + segments[last].end - segments[last].begin <= kProjectedTokens);
    Batch(std::span(segments).subspan(first, last - first), z, parameters, config)
        .score(scores.mutable_data_ptr<float>());
    first = last;
  }
  return scores;
}

}  // namespace namm::memory::cpu
