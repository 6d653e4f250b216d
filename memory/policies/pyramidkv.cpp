#include "memory/policies/pyramidkv.h"

#include <utility>

namespace namm::memory {

PyramidKvPolicy::PyramidKvPolicy(BaselineArguments arguments, int64_t window_tokens, int64_t pool_tokens,
                                 double beta)
    : SnapKvPolicy(std::move(arguments), window_tokens, pool_tokens), beta_(beta) {
  TORCH_CHECK(beta >= 1, "[pyramidkv] beta must be at least 1, is ", beta);
}

std::vector<int64_t> PyramidKvPolicy::row_budgets(const UpdateView& view, size_t row) const {
  std::vector<int64_t> lengths;
  const size_t heads = static_cast<size_t>(view.shape.kv_heads);
  for (const LayerView& layer : view.layers) {
    for (size_t s = row * heads; s < (row + 1) * heads; ++s)
      lengths.push_back(layer.offsets[s + 1] - layer.offsets[s]);
  }
  return pyramid_counts(SnapKvPolicy::row_budgets(view, row), lengths, view.shape.kv_heads, window_tokens(),
                        beta_);
}

}  // namespace namm::memory
