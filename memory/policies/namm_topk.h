#pragma once

#include "memory/policies/budgeted.h"
#include "memory/policies/namm.h"

namespace namm::memory {

/// The control for NAMM's threshold: the same scores, but the best tokens within a budget instead of all
/// above 0. With the budget match_namm_heads it differs from `namm` only where scores tie or tell it to keep
/// the newest token.
class NammTopkPolicy final : public BudgetedPolicy {
 public:
  /// As NammPolicy; the period is the memory's.
  NammTopkPolicy(BaselineArguments arguments, const NammConfig& config, at::Tensor theta,
                 FeatureStatistics statistics);

  std::string name() const override { return "namm-topk"; }
  Needs needs() const override { return namm_.needs(); }

 protected:
  KeepDecision decide_layer(const UpdateView& view, const LayerView& layer) const override;

 private:
  NammPolicy namm_;
};

}  // namespace namm::memory
