#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "evolution/optimizer.h"

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
class LmMaEs final : public Optimizer {
 public:
  /// `population` at least 2.
  LmMaEs(int64_t population, double sigma, std::span<const double> mean, uint64_t seed);

  std::string kind() const override { return "lm-ma-es"; }
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

  const LmMaConstants& constants() const { return constants_; }

 private:
  LmMaConstants constants_;
  int64_t n_;
  int64_t lambda_;
  uint64_t seed_;
  double sigma_0_;

  int64_t generation_ = 0;
  int64_t updates_ =
      0;  ///< generations that changed the state: the vectors in use are the first min(this, k)
  double sigma_;
  std::vector<double> mean_, path_sigma_;
  std::vector<double> vectors_;  ///< M [k, n]

  bool asked_ = false;
  std::vector<double> draws_, steps_;  ///< z and d [lambda, n]
  std::string stop_;
};

}  // namespace namm::evolution
