#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "evolution/optimizers/linear_optimizer.h"

namespace namm::evolution {

/// Rates and weights of LM-MA-ES (evolution 2; Loshchilov, Glasmachers and Beyer, arXiv 1705.06693).
struct LmMaConstants {
  int64_t vectors = 0;  ///< k = 4 + floor(3 ln n)
  int64_t parents = 0;  ///< mu
  double mu_eff = 0;
  double c_sigma = 0;           ///< min(1, 2 lambda / n): the paper's form holds below lambda = n / 2
  std::vector<double> c_d;      ///< [k] 1 / (1.5^j n), how much vector j turns a sample
  std::vector<double> c_c;      ///< [k] min(1, lambda / (4^j n)), how fast vector j follows
  std::vector<double> weights;  ///< [mu], best first, sum 1
};

LmMaConstants lm_ma_constants(int64_t dimension, int64_t population);

/// Limited-memory matrix adaptation: the transformation of the samples is a product of k rank-one factors;
/// maximises. O(n (k + lambda)) memory, O(n k lambda) time.
class LmMaEs final : public LinearOptimizer {
 public:
  /// `population` at least 2.
  LmMaEs(int64_t population, double sigma, std::span<const double> mean, uint64_t seed);

  std::string kind() const override { return "lm-ma-es"; }
  std::vector<double> ask() override;
  SearchDistribution distribution(int64_t axis) const override;

  /// As `ask`, from given draws z [lambda, n].
  std::vector<double> ask_from(std::span<const double> draws);

  const LmMaConstants& constants() const { return constants_; }

 private:
  bool update(std::span<const int64_t> order) override;
  NamedArrays own_arrays() const override;
  void restore_own(const NamedArrays& arrays, int64_t generation) override;

  LmMaConstants constants_;
  int64_t updates_ =
      0;  ///< generations that changed the state: the vectors in use are the first min(this, k)
  std::vector<double> path_sigma_;
  std::vector<double> vectors_;        ///< M [k, n]
  std::vector<double> draws_, steps_;  ///< z and d [lambda, n]
};

}  // namespace namm::evolution
