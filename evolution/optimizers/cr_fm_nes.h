#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evolution/optimizers/linear_optimizer.h"

namespace namm::evolution {

/// Rates and weights of CR-FM-NES (evolution 2; Nomura and Ono, arXiv 2201.11422).
struct CrFmNesConstants {
  std::vector<double> raw_weights;  ///< max(0, ln(lambda/2 + 1) - ln i), best first
  std::vector<double> weights;      ///< raw / sum - 1/lambda
  double mu_eff = 0;
  double c_sigma = 0, c_c = 0, c_1 = 0;
  double eta_b = 0;                               ///< rate of v and D
  double eta_stagnating = 0, eta_converging = 0;  ///< step-size rates; while moving it is 1
  double alpha = 0;                               ///< distance weight
  double chi = 0;
};

CrFmNesConstants cr_fm_nes_constants(int64_t dimension, int64_t population);

/// CR-FM-NES: covariance D (I + v v^T) D, mirrored pairs, O(n lambda) time and memory; maximises. Members k
/// and k + lambda/2 are mirror images; the population is even.
class CrFmNes final : public LinearOptimizer {
 public:
  /// `population` even and at least 4.
  CrFmNes(int64_t population, double sigma, std::span<const double> mean, uint64_t seed);

  std::string kind() const override { return "cr-fm-nes"; }
  std::vector<double> ask() override;
  SearchDistribution distribution(int64_t axis) const override;

  const CrFmNesConstants& constants() const { return constants_; }

 private:
  bool update(std::span<const int64_t> order) override;
  NamedArrays own_arrays() const override;
  void restore_own(const NamedArrays& arrays, int64_t generation) override;
  struct Shape {
    std::vector<double> v, d;
  };

  std::vector<double> next_path_sigma(std::span<const int64_t> order) const;
  std::vector<double> distance_weights(std::span<const int64_t> order) const;
  std::optional<Shape> next_shape(std::span<const int64_t> order, std::span<const double> weights,
                                  const std::vector<double>& path_c) const;
  void gradient(const double* y, std::vector<double>& s, std::vector<double>& t) const;

  CrFmNesConstants constants_;
  std::vector<double> path_sigma_, path_c_, v_, d_;
  std::vector<double> draws_, steps_;  ///< z and y [lambda, n]
};

}  // namespace namm::evolution
