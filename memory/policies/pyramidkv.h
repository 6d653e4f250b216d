#pragma once

#include <string>
#include <vector>

#include "memory/policies/snapkv.h"

namespace namm::memory {

/// Cai et al., "PyramidKV: Dynamic KV Cache Compression based on Pyramidal Information Funneling", arXiv
/// 2406.02069: SnapKV's choice of tokens under a budget that, beyond each head's window, falls evenly from
/// the first layer to the last, flatter where the first layer holds less than its share. Differs as
/// SnapKvPolicy does; and the layers' shares add up to the budget to the token (the published code rounds
/// them one by one), what a layer does not hold, as after earlier evictions, going to the first that has
/// room.
class PyramidKvPolicy final : public SnapKvPolicy {
 public:
  /// As SnapKvPolicy. TORCH_CHECK: beta >= 1, the mean share over the last layer's.
  PyramidKvPolicy(BaselineArguments arguments, int64_t window_tokens, int64_t pool_tokens, double beta);

  std::string name() const override { return "pyramidkv"; }

 protected:
  std::vector<int64_t> row_budgets(const UpdateView& view, size_t row) const override;

 private:
  double beta_;
};

}  // namespace namm::memory
