#pragma once

#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "memory/eviction_policy.h"
#include "memory/mix_scorer.h"
#include "memory/namm_config.h"
#include "memory/normalisation.h"

namespace namm::memory {

/// One decision a token for all layers and heads, from the mixture of mix_scorer.h: those that score below 0
/// are forgotten, or with `mix.keep_fraction` all but the best within that share of the tokens read so far
/// (rounded down, at least one). The newest `mix.recent_tokens` and the first `mix.sinks` tokens go before
/// all others but protected ones and count towards the share; with `cache_cap` at most so many stay. Of equal
/// scores the older token stays; NaN counts as below 0 and comes last. Where heads hold different tokens,
/// each keeps what it holds of those that stay, and its newest. Ours.
class NammMixPolicy final : public EvictionPolicy {
 public:
  /// theta float32 [members, n]; a row's member picks its vector. TORCH_CHECK: n, and the statistics'
  /// features.
  NammMixPolicy(const NammConfig& config, at::Tensor theta, FeatureStatistics statistics);

  std::string name() const override { return "namm-mix"; }
  Needs needs() const override { return {.spectrogram = config_.needed_spectrogram()}; }
  Schedule schedule() const override { return {config_.period_tokens}; }
  std::vector<KeepDecision> decide(const UpdateView& view) const override;

  /// By row; below 0 means forget where nothing protects the token and no share is fixed.
  std::vector<MixedTokens> scores(const UpdateView& view) const;

 private:
  /// Which of a row's tokens stay, as one segment. protected_tokens bool [U] or undefined.
  KeepDecision chosen(const MixedTokens& tokens, const RowView& row,
                      const at::Tensor& protected_tokens) const;

  NammConfig config_;
  at::Tensor theta_;
  FeatureStatistics statistics_;
};

}  // namespace namm::memory
