#pragma once

#include <vector>

#include "memory/policies/budgeted.h"

namespace namm::memory {

/// Li et al., "SnapKV: LLM Knows What You are Looking for Before Generation", arXiv 2404.14469: the newest
/// `window_tokens` stay; of the older ones those that the window's queries attended to most, smoothed over
/// neighbours by an average pool. Differs: grouped heads share one cache, so attention is averaged over the
/// group; eviction comes every period, not once after the prompt; a window beyond the budget is cut to it.
class SnapKvPolicy : public BudgetedPolicy {
 public:
  /// TORCH_CHECK: window_tokens >= 1, pool_tokens odd and >= 1 (1: no pooling).
  SnapKvPolicy(BaselineArguments arguments, int64_t window_tokens, int64_t pool_tokens);

  std::string name() const override { return "snapkv"; }
  Needs needs() const override { return {.recent_queries = window_tokens_}; }

 protected:
  KeepDecision decide_layer(const UpdateView& view, const LayerView& layer) const final;
  /// Tokens of every segment, [rows * Hk], from the budgets and the smoothed scores float32 [N].
  virtual std::vector<int64_t> shares(const UpdateView& view, const LayerView& layer,
                                      const at::Tensor& scores) const;

  int64_t window_tokens() const { return window_tokens_; }

 private:
  int64_t window_tokens_;
  int64_t pool_tokens_;
};

}  // namespace namm::memory
