#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "evolution/optimizer.h"

namespace namm::evolution {

/// Pure random search, the baseline that an adapting optimiser must beat; maximises. Member 0 is the answer
/// so far, the others are drawn from N(start, sigma^2 I), which never changes; the best of them is the next
/// answer. The answer is judged again in every generation: fitness of different generations may come from
/// different samples and is never compared.
class RandomSearch final : public Optimizer {
 public:
  /// `population` at least 2.
  RandomSearch(int64_t population, double sigma, std::span<const double> mean, uint64_t seed);

  std::string kind() const override { return "random-search"; }
  int64_t dimension() const override { return n_; }
  int64_t population() const override { return lambda_; }
  int64_t generation() const override { return generation_; }
  double sigma() const override { return sigma_; }
  std::span<const double> mean() const override { return best_; }
  std::vector<double> ask() override;
  TellReport tell(std::span<const double> fitness) override;
  OptimizerState state() const override;
  void restore(const OptimizerState& state) override;
  std::optional<std::string> stop() const override { return std::nullopt; }
  std::optional<std::string> alarm() const override;
  SearchDistribution distribution(int64_t axis) const override;
  void scale_sigma(double factor) override { sigma_ *= factor; }

 private:
  void draw(int64_t member, std::span<double> x) const;

  int64_t n_;
  int64_t lambda_;
  uint64_t seed_;
  double sigma_0_;

  int64_t generation_ = 0;
  double sigma_;
  std::vector<double> start_, best_;
};

}  // namespace namm::evolution
