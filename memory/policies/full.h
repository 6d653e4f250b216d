#pragma once

#include "memory/eviction_policy.h"

namespace namm::memory {

/// Keeps every token: the full cache, what all others are compared with. Never runs.
class FullPolicy final : public PerLayerPolicy {
 public:
  std::string name() const override { return "full"; }
  Needs needs() const override { return {}; }
  Schedule schedule() const override { return {}; }

 protected:
  KeepDecision decide_layer(const UpdateView& view, const LayerView& layer) const override;
};

}  // namespace namm::memory
