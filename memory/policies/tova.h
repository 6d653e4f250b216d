#pragma once

#include "memory/policies/budgeted.h"

namespace namm::memory {

/// Oren et al., "Transformers are Multi-State RNNs", arXiv 2401.06104 (TOVA): keeps the tokens that the
/// newest query attends to most, averaged over the heads of the layer. Differs: eviction comes every period,
/// not every token; where heads hold different tokens the average goes over those that hold it; the newest
/// token always stays.
class TovaPolicy final : public BudgetedPolicy {
 public:
  using BudgetedPolicy::BudgetedPolicy;

  std::string name() const override { return "tova"; }
  Needs needs() const override { return {.recent_queries = 1}; }

 protected:
  KeepDecision decide_layer(const UpdateView& view, const LayerView& layer) const override;
};

}  // namespace namm::memory
