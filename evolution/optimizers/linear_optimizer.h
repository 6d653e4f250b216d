#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "evolution/optimizer.h"

namespace namm::evolution {

/// What the optimisers have in common whose state grows linearly with n: counters, step size and mean, and
/// the frame of `tell`, `state` and `restore`.
class LinearOptimizer : public Optimizer {
 public:
  int64_t dimension() const final { return n_; }
  int64_t population() const final { return lambda_; }
  int64_t generation() const final { return generation_; }
  double sigma() const final { return sigma_; }
  std::span<const double> mean() const final { return mean_; }
  TellReport tell(std::span<const double> fitness) final;
  OptimizerState state() const final;
  void restore(const OptimizerState& state) final;
  std::optional<std::string> stop() const final;
  std::optional<std::string> alarm() const final;
  void scale_sigma(double factor) final { sigma_ *= factor; }

 protected:
  LinearOptimizer(int64_t population, double sigma, std::span<const double> mean, uint64_t seed);

  /// Learns from the generation that was asked for, its members from best to worst. False: the update
  /// overflows, nothing has changed and `stop_` holds the reason.
  virtual bool update(std::span<const int64_t> order) = 0;
  /// State beyond what this class holds.
  virtual NamedArrays own_arrays() const = 0;
  /// Takes it back, all or nothing. Throws DataError.
  virtual void restore_own(const NamedArrays& arrays, int64_t generation) = 0;

  /// Standard normal draws of the generation [lambda, n].
  std::vector<double> draw_members() const;
  /// For `update`: names the overflow in `stop_` and is false.
  bool overflow();

  int64_t n_;
  int64_t lambda_;
  uint64_t seed_;
  double sigma_0_;
  int64_t generation_ = 0;
  double sigma_;
  std::vector<double> mean_;
  bool asked_ = false;  ///< set by `ask`
  std::string stop_;
};

}  // namespace namm::evolution
