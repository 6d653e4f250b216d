#include "memory/policies/tova.h"

namespace namm::memory {

KeepDecision TovaPolicy::decide_layer(const UpdateView& view, const LayerView& layer) const {
  TORCH_CHECK(layer.recent_attention.defined(), "[tova] the view has no attention of the newest query");
  const int64_t heads = view.shape.kv_heads;
  at::Tensor scores = at::empty_like(layer.recent_attention);
  for (size_t r = 0; r < view.rows.size(); ++r) {
    const size_t row = r * static_cast<size_t>(heads);
    const auto part = [&](const at::Tensor& packed, size_t first, size_t last) {
      return packed.narrow(0, layer.offsets[first], layer.offsets[last] - layer.offsets[first]);
    };
    at::Tensor sums = at::zeros({view.rows[r].tokens_processed}, layer.recent_attention.options());
    at::Tensor holders = at::zeros_like(sums);
    // Head by head: inside one no position comes twice, so that no device adds in an order of its own.
    for (size_t s = row; s < row + static_cast<size_t>(heads); ++s) {
      const at::Tensor attention = part(layer.recent_attention, s, s + 1);
      sums.index_add_(0, part(layer.positions, s, s + 1), attention);
      holders.index_add_(0, part(layer.positions, s, s + 1), at::ones_like(attention));
    }
    const size_t next = row + static_cast<size_t>(heads);
    part(scores, row, next).copy_((sums / holders).index_select(0, part(layer.positions, row, next)));
  }
  return keep_best(scores, view, layer);
}

}  // namespace namm::memory
