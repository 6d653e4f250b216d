#include "memory/policies/namm_topk.h"

#include <utility>

namespace namm::memory {

NammTopkPolicy::NammTopkPolicy(BaselineArguments arguments, const NammConfig& config, at::Tensor theta,
                               FeatureStatistics statistics)
    : BudgetedPolicy(std::move(arguments)), namm_(config, std::move(theta), std::move(statistics)) {}

KeepDecision NammTopkPolicy::decide_layer(const UpdateView& view, const LayerView& layer) const {
  return keep_best(namm_.scores(view, layer), view, layer);
}

}  // namespace namm::memory
