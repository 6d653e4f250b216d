#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "evolution/optimizers/linear_optimizer.h"

namespace namm::evolution {

/// Pure random search, the baseline that an adapting optimiser must beat; maximises. Member 0 is the answer
/// so far, the others are drawn from N(start, sigma^2 I), which never changes; the best of them is the next
/// answer. The answer is judged again in every generation: fitness of different generations may come from
/// different samples and is never compared.
class RandomSearch final : public LinearOptimizer {
 public:
  /// `population` at least 2.
  RandomSearch(int64_t population, double sigma, std::span<const double> mean, uint64_t seed);

  std::string kind() const override { return "random-search"; }
  std::vector<double> ask() override;
  SearchDistribution distribution(int64_t axis) const override;

 private:
  bool update(std::span<const int64_t> order) override;
  NamedArrays own_arrays() const override;
  void restore_own(const NamedArrays& arrays, int64_t generation) override;
  void draw(int64_t member, std::span<double> x) const;

  std::vector<double> start_;
};

}  // namespace namm::evolution
