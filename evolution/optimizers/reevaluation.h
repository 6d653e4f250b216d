#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "evolution/optimizers/wrapped.h"

namespace namm::evolution {

/// How much more the ranks `before` and `after` of the same k members differ than a small share of random
/// re-ranking would explain (the measure s of Hansen, Niederberger, Guzzella and Koumoutsakos 2009,
/// "A Method for Handling Uncertainty in Evolutionary Optimization", theta 0.2, on k ranks): the mean of
/// 2 |a - b| - q(a) - q(b), q(r) the 10 % quantile of |j - r| over j = 1..k. Above 0: noise decides ranks.
double rank_change(std::span<const int64_t> before, std::span<const int64_t> after);

/// Noise handling after UH-CMA-ES: the first k members of a generation are told once more, at the end of the
/// next one, and where their order has changed too much the step size grows by 1 + 2 / (n + 10).
///
/// The paper re-evaluates within a generation. In a run of ours all members of a generation see the same
/// samples, so that a second evaluation would be equal; the next generation brings other samples. The two
/// sets of values are ranked apart: an offset that all members of a generation share is no noise. The k
/// members only measure, the inner optimiser never sees their second values. population() is larger by k from
/// the second generation on; of a population smaller than k all members are told again.
class Reevaluation final : public WrappedOptimizer {
 public:
  /// 2 <= `members` <= population of the inner optimiser.
  Reevaluation(std::unique_ptr<Optimizer> inner, int64_t members);

  int64_t population() const override;
  std::vector<double> ask() override;
  TellReport tell(std::span<const double> fitness) override;
  OptimizerState state() const override;
  void restore(const OptimizerState& state) override;

 private:
  int64_t members_;
  std::vector<double> again_;           ///< members to tell again [k, n]; empty before the second generation
  std::vector<int64_t> earlier_ranks_;  ///< by what they were worth first [k], 1 the best

  bool asked_ = false;
  std::vector<double> first_;  ///< the first k members of the generation asked for [k, n]
};

}  // namespace namm::evolution
