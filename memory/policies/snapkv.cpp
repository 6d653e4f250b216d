#include "memory/policies/snapkv.h"

#include <algorithm>
#include <utility>

#include "memory/selection.h"

namespace namm::memory {

SnapKvPolicy::SnapKvPolicy(BaselineArguments arguments, int64_t window_tokens, int64_t pool_tokens)
    : BudgetedPolicy(std::move(arguments)), window_tokens_(window_tokens), pool_tokens_(pool_tokens) {
  TORCH_CHECK(window_tokens >= 1, "[snapkv] the window must be at least 1 token, is ", window_tokens);
  TORCH_CHECK(pool_tokens >= 1 && pool_tokens % 2 == 1,
              "[snapkv] the pool must be an odd number of tokens, is ", pool_tokens);
}

KeepDecision SnapKvPolicy::decide_layer(const UpdateView& view, const LayerView& layer) const {
  TORCH_CHECK(layer.recent_attention.defined(), "[snapkv] the view has no attention of the newest queries");
  at::Tensor scores = layer.recent_attention.clone();
  for (size_t s = 0; s + 1 < layer.offsets.size(); ++s) {
    // Only the tokens before the window compete, and only they are each other's neighbours.
    const int64_t older = layer.offsets[s + 1] - layer.offsets[s] - window_tokens_;
    if (older < 1) continue;
    at::Tensor part = scores.narrow(0, layer.offsets[s], older);
    part.copy_(at::avg_pool1d(part.view({1, 1, older}), pool_tokens_, 1, pool_tokens_ / 2).view({older}));
  }
  std::vector<SegmentBudget> segments;
  for (const int64_t tokens : shares(view, layer, scores))
    segments.push_back({.tokens = tokens, .recent = std::min(window_tokens_, tokens)});
  return select_top(scores, layer, view.shape.kv_heads, segments);
}

std::vector<int64_t> SnapKvPolicy::shares(const UpdateView& view, const LayerView& layer,
                                          const at::Tensor&) const {
  return budgets(view, layer);
}

}  // namespace namm::memory
