#pragma once

#include "memory/policies/budgeted.h"

namespace namm::memory {

/// Devoto et al., "A Simple and Effective L2 Norm-Based Strategy for KV Cache Compression", arXiv 2406.11430:
/// keeps the keys of low Euclidean norm. `l2-high` keeps the high ones, the opposite control. Differs: no
/// layer is exempt (the paper skips the first two), eviction comes every period, the newest token always
/// stays. Norms are float32, ties keep the older token.
class L2Policy final : public BudgetedPolicy {
 public:
  enum class Keep { low_norms, high_norms };

  L2Policy(BaselineArguments arguments, Keep keep);

  std::string name() const override;
  Needs needs() const override;

 protected:
  KeepDecision decide_layer(const UpdateView& view, const LayerView& layer) const override;

 private:
  Keep keep_;
};

}  // namespace namm::memory
