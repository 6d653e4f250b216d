#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "memory/budget.h"
#include "memory/eviction_policy.h"

namespace namm::memory {

/// What every baseline needs to know beside its own rule.
struct BaselineArguments {
  int64_t period_tokens = 512;
  Budget budget;
  std::shared_ptr<const RecordedCounts> recorded;  ///< where the budget needs it
};

/// Base of the baselines: a rule for which tokens, under a budget of how many.
class BudgetedPolicy : public PerLayerPolicy {
 public:
  explicit BudgetedPolicy(BaselineArguments arguments);

  Schedule schedule() const override { return {arguments_.period_tokens}; }

 protected:
  /// Tokens that each segment of the layer may keep, [rows * Hk], at least 1.
  std::vector<int64_t> budgets(const UpdateView& view, const LayerView& layer) const;
  /// What the budget gives a row, [L * Hk]; where a policy splits it otherwise among layers and heads.
  virtual std::vector<int64_t> row_budgets(const UpdateView& view, size_t row) const;
  /// The tokens of the highest scores, and the newest, within each segment's budget. scores float32 [N].
  KeepDecision keep_best(const at::Tensor& scores, const UpdateView& view, const LayerView& layer) const;

 private:
  BaselineArguments arguments_;
};

}  // namespace namm::memory
