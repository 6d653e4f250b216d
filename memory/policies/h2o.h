#pragma once

#include "memory/policies/budgeted.h"

namespace namm::memory {

/// Zhang et al., "H2O: Heavy-Hitter Oracle for Efficient Generative Inference of Large Language Models",
/// arXiv 2306.14048: a share of the budget for the newest tokens, the rest for those with the largest
/// attention received so far, summed over all queries since the token was read. Differs: grouped heads share
/// one cache, so sums are averaged over the group; eviction comes every period, not every token; the newest
/// token always stays, so the window is never 0.
class H2oPolicy final : public BudgetedPolicy {
 public:
  /// recent_fraction: share of the budget for the newest tokens, rounded down, at least 1; the paper's 0.5.
  H2oPolicy(BaselineArguments arguments, double recent_fraction);

  std::string name() const override { return "h2o"; }
  Needs needs() const override;

 protected:
  KeepDecision decide_layer(const UpdateView& view, const LayerView& layer) const override;

 private:
  double recent_fraction_;
};

}  // namespace namm::memory
