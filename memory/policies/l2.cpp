#include "memory/policies/l2.h"

#include <utility>

namespace namm::memory {

L2Policy::L2Policy(BaselineArguments arguments, Keep keep)
    : BudgetedPolicy(std::move(arguments)), keep_(keep) {}

std::string L2Policy::name() const {
  return keep_ == Keep::low_norms ? "l2" : "l2-high";
}

Needs L2Policy::needs() const {
  return {.key_norms = true};
}

KeepDecision L2Policy::decide_layer(const UpdateView& view, const LayerView& layer) const {
  TORCH_CHECK(layer.key_norms.defined(), "[l2] the view has no key norms");
  return keep_best(keep_ == Keep::low_norms ? layer.key_norms.neg() : layer.key_norms, view, layer);
}

}  // namespace namm::memory
