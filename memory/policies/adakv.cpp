#include "memory/policies/adakv.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace namm::memory {
namespace {

struct Candidate {
  float score;
  size_t head;
};

// Finite numbers in falling order, then NaN: an order that any input has.
bool better(float a, float b) {
  return std::isnan(b) ? !std::isnan(a) : a > b;
}

}  // namespace

AdaKvPolicy::AdaKvPolicy(BaselineArguments arguments, int64_t window_tokens, int64_t pool_tokens,
                         double own_fraction)
    : SnapKvPolicy(std::move(arguments), window_tokens, pool_tokens), own_fraction_(own_fraction) {
  TORCH_CHECK(own_fraction >= 0 && own_fraction <= 1, "[adakv] own_fraction must be in [0, 1], is ",
              own_fraction);
}

std::vector<int64_t> AdaKvPolicy::shares(const UpdateView& view, const LayerView& layer,
                                         const at::Tensor& scores) const {
  std::vector<int64_t> result = budgets(view, layer);
  const at::Tensor local = scores.to(at::kCPU).contiguous();
  const float* const data = local.const_data_ptr<float>();
  const auto heads = static_cast<size_t>(view.shape.kv_heads);
  for (size_t row = 0; row < view.rows.size(); ++row) {
    int64_t shared = 0;
    std::vector<Candidate> candidates;
    for (size_t h = 0; h < heads; ++h) {
      const size_t s = row * heads + h;
      const int64_t length = layer.offsets[s + 1] - layer.offsets[s];
      const int64_t budget = std::min(result[s], length);
      const int64_t window = std::min(window_tokens(), budget);
      // The window goes before all; of the older tokens the best few are the head's own.
      const int64_t older = std::max<int64_t>(0, length - window_tokens());
      const int64_t own =
          std::min(older, static_cast<int64_t>(own_fraction_ * static_cast<double>(budget - window)));
      std::vector<float> sorted(data + layer.offsets[s], data + layer.offsets[s] + older);
      std::ranges::sort(sorted, better);
      for (int64_t i = own; i < older; ++i) candidates.push_back({sorted[static_cast<size_t>(i)], h});
      shared += budget - window - own;
      result[s] = window + own;
    }
    // Equal scores go to the first head, so that the split is one for all platforms.
    std::ranges::stable_sort(candidates,
                             [](const Candidate& a, const Candidate& b) { return better(a.score, b.score); });
    const auto taken = std::min(candidates.size(), static_cast<size_t>(shared));
    for (size_t i = 0; i < taken; ++i) ++result[row * heads + candidates[i].head];
  }
  return result;
}

}  // namespace namm::memory
