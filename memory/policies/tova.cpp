#include "memory/policies/tova.h"

#include "memory/selection.h"

namespace namm::memory {

KeepDecision TovaPolicy::decide_layer(const UpdateView& view, const LayerView& layer) const {
  TORCH_CHECK(layer.recent_attention.defined(), "[tova] the view has no attention of the newest query");
  const int64_t heads = view.shape.kv_heads;
  at::Tensor scores = at::empty_like(layer.recent_attention);
  for (size_t r = 0; r < view.rows.size(); ++r) {
    const int64_t first = layer.offsets[r * static_cast<size_t>(heads)];
    const int64_t tokens = layer.offsets[(r + 1) * static_cast<size_t>(heads)] - first;
    const at::Tensor positions = layer.positions.narrow(0, first, tokens);
    const at::Tensor attention = layer.recent_attention.narrow(0, first, tokens);
    const at::Tensor none = at::zeros({view.rows[r].tokens_processed}, attention.options());
    const at::Tensor mean =
        none.index_add(0, positions, attention) / none.index_add(0, positions, at::ones_like(attention));
    scores.narrow(0, first, tokens).copy_(mean.index_select(0, positions));
  }
  std::vector<SegmentBudget> segments;
  for (const int64_t tokens : budgets(view, layer)) segments.push_back({.tokens = tokens});
  return select_top(scores, layer, heads, segments);
}

}  // namespace namm::memory
