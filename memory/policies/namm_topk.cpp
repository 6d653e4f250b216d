#include "memory/policies/namm_topk.h"

#include <utility>

#include "memory/selection.h"

namespace namm::memory {

NammTopkPolicy::NammTopkPolicy(BaselineArguments arguments, const NammConfig& config, at::Tensor theta,
                               FeatureStatistics statistics)
    : BudgetedPolicy(std::move(arguments)), namm_(config, std::move(theta), std::move(statistics)) {}

KeepDecision NammTopkPolicy::decide_layer(const UpdateView& view, const LayerView& layer) const {
  std::vector<SegmentBudget> segments;
  for (const int64_t tokens : budgets(view, layer)) segments.push_back({.tokens = tokens});
  return select_top(namm_.scores(view, layer), layer, view.shape.kv_heads, segments);
}

}  // namespace namm::memory
