#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "memory/normalisation.h"
#include "memory/policies/namm.h"
#include "memory/shape.h"

namespace namm::bench {

/// sum over frames of the weighted magnitudes of at::stft, and the decayed previous average: the spectrogram
/// stage as a LibTorch program. signal [K, n_fft - hop + m] float32, previous [K, D]; returns [K, D].
at::Tensor stft_ema(const at::Tensor& signal, const at::Tensor& previous,
                    const memory::SpectrogramConfig& config);

/// Scores of one or more sequences of equal length by scaled_dot_product_attention with an n x n mask.
/// features [b, n, F], theta [parameters], mask newer_tokens(n); returns [b, n].
at::Tensor masked_bam(const at::Tensor& features, const at::Tensor& theta, const memory::BamConfig& config,
                      const at::Tensor& mask);

/// bool [n, n]: that a token sees itself and newer ones.
at::Tensor newer_tokens(int64_t n);

/// What the pipeline holds of KV heads [first_head, first_head + b) of a layer: heads of equal length stand
/// in one block, so that one batched call serves them.
struct HeadBlock {
  int64_t first_head = 0;
  at::Tensor keys, values;  ///< [b, n, d]
  at::Tensor positions;     ///< int64 [b, n]
  at::Tensor attention;     ///< [b, T, n], group mean of the queries since the last update
  at::Tensor context;       ///< [b, c, n'], group mean of the c queries before them, of the first n' tokens
  at::Tensor ema;           ///< [b, n', D]
};

/// The baseline of the memory benchmarks: one sequence's attention and memory updates the way the released
/// code goes about them (arXiv 2410.13166; namm-semantics 1 to 6), from LibTorch's operators: attention
/// matrices of all heads that exist in memory, group mean, pad, at::stft, abs, weighted sum, normalisation,
/// BAM by scaled_dot_product_attention with an n x n mask, selection, gather. Written with care: query heads
/// of a group share their keys without a copy, the mask touches only the chunk's own square, and the mean
/// over the group is taken at once instead of being stored per head. A step brings exactly one period.
/// Copies share tensors, which nothing changes in place. float32, no sliding window, no cap.
class TorchPipeline {
 public:
  TorchPipeline(const memory::TransformerShape& shape, const memory::NammConfig& config, at::Tensor theta,
                memory::FeatureStatistics statistics);

  /// As memory::Session::attend for one row: q [T, H, d], k, v [T, Hk, d], T the period; returns [T, H, d].
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t layer,
                    double scale);

  /// The parts of it. Appends k, v [T, Hk, d]; then materialises the attention of q [T, H, d] and keeps its
  /// group mean for the update, or computes the output [T, H, d] from it as well.
  void append(const at::Tensor& k, const at::Tensor& v, int64_t layer);
  void record(const at::Tensor& q, int64_t layer, double scale);

  /// Features, scores, selection and compaction of all layers.
  void update();

  /// May look at, and change, which tokens of a head stay: scores float32 [n], keep bool [n].
  using Referee =
      std::function<void(int64_t layer, int64_t kv_head, const at::Tensor& scores, at::Tensor& keep)>;
  void set_referee(Referee referee) { referee_ = std::move(referee); }

  void set_memory(at::Tensor theta, memory::FeatureStatistics statistics);

  /// Goes on from a state that something else brought about: blocks of a layer after an update at `tokens`.
  void restore(int64_t layer, std::vector<HeadBlock> blocks, int64_t tokens);

  const std::vector<HeadBlock>& blocks(int64_t layer) const { return layers_[layer]; }

 private:
  at::Tensor features(const HeadBlock& block, const at::Tensor& recency_table) const;
  at::Tensor updated_ema(const HeadBlock& block) const;
  at::Tensor probabilities(const HeadBlock& block, const at::Tensor& q, double scale) const;
  void select(std::vector<at::Tensor>& scores, std::vector<at::Tensor>& keeps) const;
  void compact(HeadBlock block, const at::Tensor& keep, std::vector<HeadBlock>& kept) const;

  memory::TransformerShape shape_;
  memory::NammConfig config_;
  at::Tensor theta_;  // [parameters]
  memory::FeatureStatistics statistics_;
  memory::HeadMode mode_;
  Referee referee_;
  int64_t tokens_ = 0;
  std::vector<std::vector<HeadBlock>> layers_;
};

}  // namespace namm::bench
