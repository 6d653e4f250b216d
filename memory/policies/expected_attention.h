#pragma once

#include <string>

#include "memory/policies/budgeted.h"

namespace namm::memory {

/// Devoto et al., "Expected Attention: KV Cache Compression by Estimating Attention from Future Queries
/// Distribution", arXiv 2510.00636: queries to come are taken as normally distributed like those seen; a
/// token is worth the attention it would get from them times the norm of its value. Sinks stay. Differs: the
/// distribution is that of the queries since the last update, with the positions they had, where the paper
/// turns it to the positions to come; eviction comes every period; grouped heads are averaged; where
/// a layer has a sliding window, tokens that the next query does not see count for nothing.
class ExpectedAttentionPolicy final : public BudgetedPolicy {
 public:
  /// TORCH_CHECK: sinks >= 0.
  ExpectedAttentionPolicy(BaselineArguments arguments, int64_t sinks);

  std::string name() const override { return "expected-attention"; }
  Needs needs() const override { return {.expected_attention = true}; }

 protected:
  KeepDecision decide_layer(const UpdateView& view, const LayerView& layer) const override;

 private:
  int64_t sinks_;
};

}  // namespace namm::memory
