#include "memory/policies/full.h"

#include "memory/segments.h"

namespace namm::memory {

KeepDecision FullPolicy::decide_layer(const UpdateView& view, const LayerView& layer) const {
  const at::Tensor keep = at::ones({layer.offsets.back()}, layer.positions.options().dtype(at::kBool));
  return {keep, segment_counts(keep, layer.offsets).to(at::kInt).view({-1, view.shape.kv_heads})};
}

}  // namespace namm::memory
