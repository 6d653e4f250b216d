#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "memory/eviction_policy.h"
#include "memory/namm_config.h"
#include "memory/normalisation.h"
#include "memory/selection.h"

namespace namm::memory {

/// TORCH_CHECK: theta is float32 [members, config.parameters()], and the statistics are of the config's
/// spectral features.
void check_memory(const NammConfig& config, const at::Tensor& theta, const FeatureStatistics& statistics);

/// Cetin et al., "An Evolved Universal Transformer Memory", arXiv 2410.13166, as namm-semantics 2 to 6
/// specify it: forgets the tokens whose score is below 0. Differs from the released code where namm-semantics
/// 10 says so: each row is on its own, ties are stable, float32 throughout, any age. The config may choose
/// other features, another scorer (all but `mix`) and parameters of a layer's or a head's own.
class NammPolicy final : public EvictionPolicy {
 public:
  /// theta float32 [members, n]; a row's member picks its vector. TORCH_CHECK: as check_memory; the scorer.
  NammPolicy(const NammConfig& config, at::Tensor theta, FeatureStatistics statistics);

  std::string name() const override { return "namm"; }
  Needs needs() const override;
  Schedule schedule() const override { return {config_.period_tokens}; }
  std::vector<KeepDecision> decide(const UpdateView& view) const override;

  /// [N, F] float32, packed as the layer: recency embedding, then normalised spectral features.
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
