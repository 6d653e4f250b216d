#include "memory/eviction_policy.h"

namespace namm::memory {

std::vector<KeepDecision> PerLayerPolicy::decide(const UpdateView& view) const {
  std::vector<KeepDecision> decisions;
  decisions.reserve(view.layers.size());
  for (const LayerView& layer : view.layers) decisions.push_back(decide_layer(view, layer));
  return decisions;
}

bool keeps_everything(const EvictionPolicy& policy) {
  return policy.schedule().period_tokens == 0;
}

}  // namespace namm::memory
