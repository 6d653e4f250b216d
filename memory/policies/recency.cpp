#include "memory/policies/recency.h"

#include <algorithm>
#include <utility>

#include "memory/selection.h"

namespace namm::memory {

RecencyPolicy::RecencyPolicy(BaselineArguments arguments, int64_t sinks)
    : BudgetedPolicy(std::move(arguments)), sinks_(sinks) {
  TORCH_CHECK(sinks >= 0, "[recency] sinks must not be negative, are ", sinks);
}

KeepDecision RecencyPolicy::decide_layer(const UpdateView& view, const LayerView& layer) const {
  std::vector<SegmentBudget> segments;
  for (const int64_t tokens : budgets(view, layer)) {
    segments.push_back({tokens, std::max<int64_t>(1, tokens - sinks_), sinks_});
  }
  return select_top(layer.positions.to(at::kFloat), layer, view.shape.kv_heads, segments);
}

}  // namespace namm::memory
