#include "memory/policies/expected_attention.h"

#include <utility>
#include <vector>

#include "memory/selection.h"

namespace namm::memory {

ExpectedAttentionPolicy::ExpectedAttentionPolicy(BaselineArguments arguments, int64_t sinks)
    : BudgetedPolicy(std::move(arguments)), sinks_(sinks) {
  TORCH_CHECK(sinks >= 0, "[expected-attention] sinks must not be negative, are ", sinks);
}

KeepDecision ExpectedAttentionPolicy::decide_layer(const UpdateView& view, const LayerView& layer) const {
  TORCH_CHECK(layer.expected_attention.defined(), "[expected-attention] the view has no expected attention");
  std::vector<SegmentBudget> segments;
  for (const int64_t tokens : budgets(view, layer)) segments.push_back({.tokens = tokens, .sinks = sinks_});
  return select_top(layer.expected_attention, layer, view.shape.kv_heads, segments);
}

}  // namespace namm::memory
