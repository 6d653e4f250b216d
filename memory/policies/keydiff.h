#pragma once

#include "memory/policies/budgeted.h"

namespace namm::memory {

/// Park et al., "KeyDiff: Key Similarity-Based KV Cache Eviction for Long-Context LLM Inference in
/// Resource-Constrained Environments", arXiv 2504.15364: forgets the keys that are most like the others, by
/// the cosine with the mean direction of the head's keys; it reads no attention. Differs: eviction comes
/// every period; the newest token always stays.
class KeyDiffPolicy final : public BudgetedPolicy {
 public:
  using BudgetedPolicy::BudgetedPolicy;

  std::string name() const override { return "keydiff"; }
  Needs needs() const override { return {.key_similarity = true}; }

 protected:
  KeepDecision decide_layer(const UpdateView& view, const LayerView& layer) const override;
};

}  // namespace namm::memory
