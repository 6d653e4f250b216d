#pragma once

#include <string>
#include <vector>

#include "memory/policies/snapkv.h"

namespace namm::memory {

/// Feng et al., "Ada-KV: Optimizing KV Cache Eviction by Adaptive Budget Allocation", arXiv 2407.11550:
/// SnapKV's scores, but the heads of a layer share one budget, which goes to the best tokens of all of them;
/// a share of each head's own budget stays its own. Differs as SnapKvPolicy does; heads are KV heads, and
/// they really hold different numbers of tokens. What a head of few tokens cannot use goes to the others, so
/// that the budget is spent at every update.
class AdaKvPolicy final : public SnapKvPolicy {
 public:
  /// As SnapKvPolicy. TORCH_CHECK: own_fraction in [0, 1], alpha of the paper.
  AdaKvPolicy(BaselineArguments arguments, int64_t window_tokens, int64_t pool_tokens, double own_fraction);

  std::string name() const override { return "adakv"; }

 protected:
  std::vector<int64_t> shares(const UpdateView& view, const LayerView& layer,
                              const at::Tensor& scores) const override;

 private:
  double own_fraction_;
};

}  // namespace namm::memory
