#include "memory/policies/l2.h"

#include <utility>

#include "memory/selection.h"

namespace namm::memory {

L2Policy::L2Policy(BaselineArguments arguments, Keep keep)
    : BudgetedPolicy(std::move(arguments)), keep_(keep) {}

std::string L2Policy::name() const {
  return keep_ == Keep::low_norms ? "l2" : "l2-high";
}

Needs L2Policy::needs() const {
  return {.key_norms = true};
}

KeepDecision L2Policy::decide_layer(const UpdateView& view, const LayerView& layer) const {
  std::vector<SegmentBudget> segments;
  for (const int64_t tokens : budgets(view, layer)) segments.push_back({.tokens = tokens});
  TORCH_CHECK(layer.key_norms.defined(), "[l2] the view has no key norms");
  const at::Tensor scores = keep_ == Keep::low_norms ? layer.key_norms.neg() : layer.key_norms;
  return select_top(scores, layer, view.shape.kv_heads, segments);
}

}  // namespace namm::memory
