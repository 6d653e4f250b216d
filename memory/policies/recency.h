#pragma once

#include "memory/policies/budgeted.h"

namespace namm::memory {

/// Xiao et al., "Efficient Streaming Language Models with Attention Sinks", arXiv 2309.17453: the first
/// `sinks` tokens and a window of the newest. Differs: keys keep the positions of the original sequence (the
/// paper re-numbers inside the cache), and eviction comes every period, not every token. The sinks are part
/// of the budget; of a budget smaller than they are, the newest token stays first.
class RecencyPolicy final : public BudgetedPolicy {
 public:
  RecencyPolicy(BaselineArguments arguments, int64_t sinks);

  std::string name() const override { return "recency"; }
  Needs needs() const override { return {}; }

 protected:
  KeepDecision decide_layer(const UpdateView& view, const LayerView& layer) const override;

 private:
  int64_t sinks_;
};

}  // namespace namm::memory
