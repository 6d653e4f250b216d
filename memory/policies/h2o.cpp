#include "memory/policies/h2o.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "memory/selection.h"

namespace namm::memory {

H2oPolicy::H2oPolicy(BaselineArguments arguments, double recent_fraction)
    : BudgetedPolicy(std::move(arguments)), recent_fraction_(recent_fraction) {
  TORCH_CHECK(recent_fraction >= 0 && recent_fraction <= 1, "[h2o] recent_fraction must be in [0, 1], is ",
              recent_fraction);
}

Needs H2oPolicy::needs() const {
  return {.column_sums = true};
}

KeepDecision H2oPolicy::decide_layer(const UpdateView& view, const LayerView& layer) const {
  std::vector<SegmentBudget> segments;
  for (const int64_t tokens : budgets(view, layer)) {
    // A budget without limit stays one: the product of a share and INT64_MAX is not an int64.
    const double share =
        std::floor(recent_fraction_ * static_cast<double>(std::min<int64_t>(tokens, int64_t{1} << 52)));
    segments.push_back({.tokens = tokens, .recent = std::max<int64_t>(1, static_cast<int64_t>(share))});
  }
  TORCH_CHECK(layer.column_sums.defined(), "[h2o] the view has no column sums");
  return select_top(layer.column_sums, layer, view.shape.kv_heads, segments);
}

}  // namespace namm::memory
