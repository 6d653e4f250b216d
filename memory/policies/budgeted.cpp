#include "memory/policies/budgeted.h"

#include <algorithm>
#include <utility>

#include "memory/selection.h"

namespace namm::memory {

BudgetedPolicy::BudgetedPolicy(BaselineArguments arguments) : arguments_(std::move(arguments)) {
  TORCH_CHECK(arguments_.period_tokens > 0, "[policy] the period must be at least 1 token, is ",
              arguments_.period_tokens);
  TORCH_CHECK(!arguments_.budget.needs_counts() || arguments_.recorded != nullptr, "[policy] budget ",
              arguments_.budget.text(), " needs what NAMM kept: run the policy namm first");
}

std::vector<int64_t> BudgetedPolicy::budgets(const UpdateView& view, const LayerView& layer) const {
  const int64_t heads = view.shape.kv_heads;
  TORCH_CHECK(layer.layer >= 0 && layer.layer < view.shape.layers, "[policy] layer ", layer.layer, " of ",
              view.shape.layers);
  std::vector<int64_t> result;
  result.reserve(view.rows.size() * static_cast<size_t>(heads));
  for (size_t row = 0; row < view.rows.size(); ++row) {
    const std::vector<int64_t> counts = row_budgets(view, row);
    for (int64_t h = 0; h < heads; ++h) {
      result.push_back(std::max<int64_t>(1, counts[static_cast<size_t>(layer.layer * heads + h)]));
    }
  }
  return result;
}

std::vector<int64_t> BudgetedPolicy::row_budgets(const UpdateView& view, size_t row) const {
  return budget_counts(arguments_.budget, arguments_.recorded.get(), view.rows[row], view.shape,
                       view.token_bytes);
}

KeepDecision BudgetedPolicy::keep_best(const at::Tensor& scores, const UpdateView& view,
                                       const LayerView& layer) const {
  std::vector<SegmentBudget> segments;
  for (const int64_t tokens : budgets(view, layer)) segments.push_back({.tokens = tokens});
  return select_top(scores, layer, view.shape.kv_heads, segments);
}

}  // namespace namm::memory
