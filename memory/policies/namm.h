#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "core/config.h"
#include "memory/bam_scorer.h"
#include "memory/eviction_policy.h"
#include "memory/normalisation.h"
#include "memory/recency_embedding.h"
#include "memory/selection.h"
#include "memory/spectrogram.h"

namespace namm::memory {

/// All constants of a neural attention memory; with parameters and statistics they are the whole memory
/// (memory_file.h).
struct NammConfig {
  int64_t period_tokens = 512;
  std::string heads = "ragged";
  int64_t cache_cap = 0;
  std::string positions = "original";
  SpectrogramConfig spectrogram;
  RecencyConfig recency;
  BamConfig bam;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("period_tokens", self.period_tokens, between(1, 1 << 20), "tokens between two updates");
    visit("heads", self.heads, one_of({"ragged", "parity"}),
          "ragged: every head keeps its own number of tokens; parity: one number a layer, as the released "
          "code");
    visit("cache_cap", self.cache_cap, at_least(0), "most tokens a head keeps at an update; 0: no cap");
    visit("positions", self.positions, one_of({"original", "compacted"}),
          "original: keys keep the rotation of the position they were read at; compacted: at an update each "
          "head's are rotated to consecutive positions");
    visit("spectrogram", self.spectrogram, "features: transform of the attention a token receives");
    visit("recency", self.recency, "features: embedding of a token's age");
    visit("bam", self.bam, "the scoring network");
  }
  void check(const ConfigNode& node) const;  ///< hop_length divides period_tokens

  /// Numbers of a token that the scorer sees: recency, then spectrogram.
  int64_t features() const { return recency.dimension + spectrogram.bins(); }
  int64_t parameters() const { return bam_parameters(bam, features()); }
  std::vector<ParameterBlock> layout() const { return bam_layout(bam, features()); }

  bool operator==(const NammConfig&) const = default;
};

/// Cetin et al., "An Evolved Universal Transformer Memory", arXiv 2410.13166, as namm-semantics 2 to 6
/// specify it: forgets the tokens whose score is below 0. Differs from the released code where namm-semantics
/// 10 says so: each row is on its own, ties are stable, float32 throughout, any age.
class NammPolicy final : public EvictionPolicy {
 public:
  /// theta float32 [members, n]; a row's member picks its vector. TORCH_CHECK: n, and the statistics'
  /// features.
  NammPolicy(const NammConfig& config, at::Tensor theta, FeatureStatistics statistics);

  std::string name() const override { return "namm"; }
  Needs needs() const override;
  Schedule schedule() const override { return {config_.period_tokens}; }
  std::vector<KeepDecision> decide(const UpdateView& view) const override;

  /// [N, F] float32, packed as the layer: recency embedding, then normalised spectrogram.
  at::Tensor features(const UpdateView& view, const LayerView& layer) const;
  /// [N] float32; below 0 means forget.
  at::Tensor scores(const UpdateView& view, const LayerView& layer) const;

  const NammConfig& config() const { return config_; }
  const FeatureStatistics& statistics() const { return statistics_; }

 private:
  at::Tensor features(const LayerView& layer, const at::Tensor& ages, const at::Tensor& recency_table) const;
  at::Tensor scores(const UpdateView& view, const at::Tensor& features, const LayerView& layer) const;

  NammConfig config_;
  HeadMode mode_;
  at::Tensor theta_;
  FeatureStatistics statistics_;
};

}  // namespace namm::memory
