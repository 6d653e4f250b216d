#include "memory/policies/adakv.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace namm::memory {
namespace {

struct Candidate {
  float score;
  size_t segment;
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
    const size_t first = row * heads;
    const auto length_of = [&](size_t s) { return layer.offsets[s + 1] - layer.offsets[s]; };
    const int64_t there = layer.offsets[first + heads] - layer.offsets[first];
    int64_t rest = 0;
    for (size_t s = first; s < first + heads; ++s) rest = std::min(there, rest + std::min(result[s], there));
    std::vector<Candidate> candidates;
    for (size_t s = first; s < first + heads; ++s) {
      const int64_t length = length_of(s), budget = std::min(result[s], there);
      const int64_t window = std::min({window_tokens(), budget, length});
      // The window goes before all; of the older tokens the best few are the head's own.
      const int64_t older = std::max<int64_t>(0, length - window_tokens());
      const int64_t own =
          std::min(older, static_cast<int64_t>(own_fraction_ * static_cast<double>(budget - window)));
      std::vector<float> sorted(data + layer.offsets[s], data + layer.offsets[s] + older);
      std::ranges::sort(sorted, better);
      for (int64_t i = own; i < older; ++i) candidates.push_back({sorted[static_cast<size_t>(i)], s});
      result[s] = window + own;
      rest -= window + own;
    }
    // Equal scores go to the first head, so that the split is one for all platforms.
    std::ranges::stable_sort(candidates,
                             [](const Candidate& a, const Candidate& b) { return better(a.score, b.score); });
    const auto taken = std::min(candidates.size(), static_cast<size_t>(rest));
    for (size_t i = 0; i < taken; ++i) ++result[candidates[i].segment];
    // Beyond all older tokens: windows that a small budget cut.
    rest -= static_cast<int64_t>(taken);
    for (size_t s = first; s < first + heads && rest > 0; ++s) {
      const int64_t more = std::min(rest, length_of(s) - result[s]);
      result[s] += more;
      rest -= more;
    }
  }
  return result;
}

}  // namespace namm::memory
