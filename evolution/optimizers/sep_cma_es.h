#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "evolution/optimizer.h"

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
class SepCmaEs final : public Optimizer {
 public:
  /// `population` at least 2.
  SepCmaEs(int64_t population, double sigma, std::span<const double> mean, uint64_t seed);

  std::string kind() const override { return "sep-cma-es"; }
  int64_t dimension() const override { return n_; }
  int64_t population() const override { return lambda_; }
  int64_t generation() const override { return generation_; }
  double sigma() const override { return sigma_; }
  std::span<const double> mean() const override { return mean_; }
  std::vector<double> ask() override;
  TellReport tell(std::span<const double> fitness) override;
  OptimizerState state() const override;
  void restore(const OptimizerState& state) override;
  std::optional<std::string> stop() const override;
  std::optional<std::string> alarm() const override;
  SearchDistribution distribution(int64_t axis) const override;
  void scale_sigma(double factor) override { sigma_ *= factor; }

  /// As `ask`, from given draws z [lambda, n].
  std::vector<double> ask_from(std::span<const double> draws);

  const SepCmaConstants& constants() const { return constants_; }
  /// Diagonal of C [n].
  const std::vector<double>& variances() const { return variances_; }

 private:
  SepCmaConstants constants_;
  int64_t n_;
  int64_t lambda_;
  uint64_t seed_;
  double sigma_0_;

  int64_t generation_ = 0;
  double sigma_;
  std::vector<double> mean_, path_sigma_, path_c_, variances_;

  bool asked_ = false;
  std::vector<double> draws_;  ///< z [lambda, n]
  std::string stop_;
};

}  // namespace namm::evolution
