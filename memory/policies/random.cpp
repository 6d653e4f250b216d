#include "memory/policies/random.h"

#include <utility>

#include "core/random.h"
#include "memory/selection.h"

namespace namm::memory {

RandomPolicy::RandomPolicy(std::string name, BaselineArguments arguments, uint64_t seed)
    : BudgetedPolicy(std::move(arguments)), name_(std::move(name)), seed_(seed) {}

KeepDecision RandomPolicy::decide_layer(const UpdateView& view, const LayerView& layer) const {
  const int64_t heads = view.shape.kv_heads;
  std::vector<SegmentBudget> segments;
  for (const int64_t tokens : budgets(view, layer)) segments.push_back({.tokens = tokens});

  const at::Tensor positions = layer.positions.to(at::kCPU).contiguous();
  const int64_t* position = positions.const_data_ptr<int64_t>();
  at::Tensor scores = at::empty({positions.size(0)}, at::kFloat);
  float* score = scores.mutable_data_ptr<float>();
  for (size_t s = 0; s + 1 < layer.offsets.size(); ++s) {
    const RowView& row = view.rows[s / static_cast<size_t>(heads)];
    const auto segment = static_cast<uint64_t>(layer.layer * heads) + s % static_cast<size_t>(heads);
    const uint64_t key = RandomStream({.seed = seed_,
                                       .purpose = "policy/random",
                                       .generation = static_cast<uint64_t>(row.tag),
                                       .member = static_cast<uint64_t>(row.update),
                                       .sample = segment})
                             .uint64();
    const std::array<uint32_t, 2> philox_key{static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)};
    for (int64_t i = layer.offsets[s]; i < layer.offsets[s + 1]; ++i) {
      const auto p = static_cast<uint64_t>(position[i]);
      const uint32_t bits =
          philox4x32({static_cast<uint32_t>(p), static_cast<uint32_t>(p >> 32), 0, 0}, philox_key)[0];
      score[i] = static_cast<float>(bits >> 8) * 0x1p-24f;
    }
  }
  return select_top(scores.to(layer.positions.device()), layer, heads, segments);
}

}  // namespace namm::memory
