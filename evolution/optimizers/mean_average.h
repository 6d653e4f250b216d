#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "evolution/optimizers/wrapped.h"

namespace namm::evolution {

/// The answer is an average of the means: under noise the mean wanders around the optimum, its average less
/// (Polyak and Juditsky 1992). The arithmetic mean of the first `generations` ones, then exponential with
/// that time constant; the search itself is unchanged.
class MeanAverage final : public WrappedOptimizer {
 public:
  /// `generations` at least 1.
  MeanAverage(std::unique_ptr<Optimizer> inner, int64_t generations);

  std::span<const double> mean() const override { return average_; }
  TellReport tell(std::span<const double> fitness) override;
  OptimizerState state() const override;
  void restore(const OptimizerState& state) override;

 private:
  int64_t generations_;
  int64_t count_ = 0;  ///< means averaged so far
  std::vector<double> average_;
};

}  // namespace namm::evolution
