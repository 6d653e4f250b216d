#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "evolution/optimizers/linear_optimizer.h"

namespace namm::evolution {

/// Rates and weights of CMA-ES with a diagonal covariance (Ros and Hansen 2008; the rates are pycma's,
/// evolution 2, about 1.4 times those of the paper).
struct SepCmaConstants {
  int64_t parents = 0;  ///< mu
  double mu_eff = 0;
  double c_sigma = 0, d_sigma = 0, c_c = 0, c_1 = 0, c_mu = 0;
  double chi = 0;               ///< expected length of N(0, I)
  std::vector<double> weights;  ///< [lambda], best first; the positive ones sum to 1
};

SepCmaConstants sep_cma_constants(int64_t dimension, int64_t population);

/// CMA-ES with a diagonal covariance and active weights; maximises. O(n lambda) time and memory. C_jj is
/// updated by factors, so that it stays positive whatever the weights.
class SepCmaEs final : public LinearOptimizer {
 public:
  /// `population` at least 2.
  SepCmaEs(int64_t population, double sigma, std::span<const double> mean, uint64_t seed);

  std::string kind() const override { return "sep-cma-es"; }
  std::vector<double> ask() override;
  SearchDistribution distribution(int64_t axis) const override;

  /// As `ask`, from given draws z [lambda, n].
  std::vector<double> ask_from(std::span<const double> draws);

  const SepCmaConstants& constants() const { return constants_; }
  /// Diagonal of C [n].
  const std::vector<double>& variances() const { return variances_; }

 private:
  bool update(std::span<const int64_t> order) override;
  NamedArrays own_arrays() const override;
  void restore_own(const NamedArrays& arrays, int64_t generation) override;

  SepCmaConstants constants_;
  std::vector<double> path_sigma_, path_c_, variances_;
  std::vector<double> draws_;  ///< z [lambda, n]
};

}  // namespace namm::evolution
