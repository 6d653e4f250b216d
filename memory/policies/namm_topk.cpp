#include "memory/policies/namm_topk.h"

#include <utility>

namespace namm::memory {

NammTopkPolicy::NammTopkPolicy(BaselineArguments arguments, const NammConfig& config, at::Tensor theta,
                               FeatureStatistics statistics)
    : BudgetedPolicy(std::move(arguments)), namm_(config, std::move(theta), std::move(statistics)) {}

KeepDecision NammTopkPolicy::decide_layer(const UpdateView& view, const LayerView& layer) const {
  const at::Tensor scores = namm_.scores(view, layer);
  KeepDecision decision = keep_best(scores, view, layer);
  decision.scores = scores;
  return decision;
}

}  // namespace namm::memory
