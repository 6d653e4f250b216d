#include "memory/policies/keydiff.h"

namespace namm::memory {

KeepDecision KeyDiffPolicy::decide_layer(const UpdateView& view, const LayerView& layer) const {
  TORCH_CHECK(layer.key_similarity.defined(), "[keydiff] the view has no similarity of keys");
  return keep_best(layer.key_similarity.neg(), view, layer);
}

}  // namespace namm::memory
