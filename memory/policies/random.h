#pragma once

#include <cstdint>
#include <string>

#include "memory/policies/budgeted.h"

namespace namm::memory {

/// Keeps the newest token and a uniform draw of the others: the control for "how many" without "which". Draws
/// are a function of (seed, row tag, update, layer, KV head, token position) alone. With the budget
/// match_namm_heads it is the control `namm-counts-random`.
class RandomPolicy final : public BudgetedPolicy {
 public:
  RandomPolicy(std::string name, BaselineArguments arguments, uint64_t seed);

  std::string name() const override { return name_; }
  Needs needs() const override { return {}; }

 protected:
  KeepDecision decide_layer(const UpdateView& view, const LayerView& layer) const override;

 private:
  std::string name_;
  uint64_t seed_;
};

}  // namespace namm::memory
