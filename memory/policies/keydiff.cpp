#include "memory/policies/keydiff.h"

#include "memory/selection.h"

namespace namm::memory {

KeepDecision KeyDiffPolicy::decide_layer(const UpdateView& view, const LayerView& layer) const {
  TORCH_CHECK(layer.key_similarity.defined(), "[keydiff] the view has no similarity of keys");
  std::vector<SegmentBudget> segments;
  for (const int64_t tokens : budgets(view, layer)) segments.push_back({.tokens = tokens});
  return select_top(layer.key_similarity.neg(), layer, view.shape.kv_heads, segments);
}

}  // namespace namm::memory
