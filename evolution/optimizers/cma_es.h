#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "evolution/optimizer.h"

namespace namm::evolution {

/// Rates and weights of CMA-ES (evolution 1). With `parity` those of the published NAMM code
/// (namm-semantics 7.1): c_mu without the 1/4, no population factor in c_1, n capped at 40,000 in c_1, c_mu
/// and chi.
struct CmaConstants {
  int64_t parents = 0;  ///< mu
  double mu_eff = 0;
  double mu_eff_negative = 0;
  double c_m = 1;
  double c_sigma = 0, d_sigma = 0, c_c = 0, c_1 = 0, c_mu = 0;
  double chi = 0;               ///< expected length of N(0, I)
  std::vector<double> weights;  ///< [lambda], best first; the positive ones sum to 1
  double weight_sum = 0;        ///< over all lambda
  double eigen_gap = 0;         ///< generations between eigendecompositions
};

/// ln((lambda + 1) / 2) - ln(rank + 1), rank 0 the best: weights before they are scaled.
double raw_weight(int64_t population, int64_t rank);

CmaConstants cma_constants(int64_t dimension, int64_t population, double elite_ratio, bool parity);

struct CmaSettings {
  int64_t population = 0;
  double sigma = 0;
  double elite_ratio = 0.5;
  bool parity = false;  ///< order of operations and rules of namm-semantics 7
};

/// CMA-ES with the full covariance matrix and active (negative) weights; maximises. The product uses
/// `double`, and `float` for parity. Memory: n^2 Reals while C has never been decomposed, 2 n^2 afterwards, 4
/// n^2 during a decomposition.
///
/// Standard form: eigendecomposition every `eigen_gap` generations, in between samples and paths use the old
/// eigensystem. An eigenvalue that is not positive, or below 1e-14 of the largest, raises the diagonal of C
/// and is counted. Parity form: eigendecomposition every generation, 1e-6 added to every entry for the first,
/// eigenvalues <= 0 used as (1e-20)^2 with C left alone, sigma without a cap.
template <class Real>
class CmaEs final : public Optimizer {
 public:
  /// How normal draws u become y: y = B D u, or by the symmetric root, y = B D B^T u, which does not depend
  /// on the choice of eigenvectors.
  enum class Root { eigenvectors, symmetric };

  CmaEs(const CmaSettings& settings, std::span<const double> mean, uint64_t seed);

  std::string kind() const override { return "cma-es"; }
  int64_t dimension() const override { return n_; }
  int64_t population() const override { return lambda_; }
  int64_t generation() const override { return generation_; }
  double sigma() const override { return static_cast<double>(sigma_); }
  std::span<const double> mean() const override { return mean_as_double_; }
  std::vector<double> ask() override;
  TellReport tell(std::span<const double> fitness) override;
  OptimizerState state() const override;
  void restore(const OptimizerState& state) override;
  std::optional<std::string> stop() const override;
  std::optional<std::string> alarm() const override;
  SearchDistribution distribution(int64_t axis) const override;
  void scale_sigma(double factor) override { sigma_ *= static_cast<Real>(factor); }

  /// As `ask`, from given draws u [lambda, n].
  std::vector<double> ask_from(std::span<const double> draws, Root root);
  /// As `ask`, with given steps y [lambda, n]: X = mean + sigma y.
  std::vector<double> ask_with_steps(std::span<const double> steps);

  const CmaConstants& constants() const { return constants_; }
  /// [n, n], symmetric.
  std::vector<double> covariance() const;
  /// Roots of the eigenvalues used for the current samples, ascending [n].
  std::vector<double> roots() const;
  /// y [lambda, n] of the current samples.
  std::vector<double> steps() const;
  std::vector<double> path_sigma() const;
  std::vector<double> path_c() const;
  /// The indicator h used in the last tell.
  bool last_h() const { return last_h_; }
  int64_t eigen_repairs() const { return eigen_repairs_; }
  int64_t decompositions() const { return decompositions_; }

 private:
  bool decomposition_due() const;
  bool decompose();
  void repair(std::vector<Real>& eigenvalues);
  std::vector<double> finish_ask();
  std::vector<Real> inverse_root_times(const std::vector<Real>& vector) const;
  std::vector<Real> squared_lengths() const;
  std::vector<Real> parents_step(std::span<const int64_t> order) const;
  void update_covariance(std::span<const int64_t> order, const std::vector<Real>& path_c, bool h);

  CmaSettings settings_;
  CmaConstants constants_;
  int64_t n_;
  int64_t lambda_;
  uint64_t seed_;

  int64_t generation_ = 0;
  Real sigma_;
  std::vector<Real> mean_, path_sigma_, path_c_;
  std::vector<Real> covariance_;  ///< lower triangle of a column-major matrix

  /// The eigensystem in use; without one C is taken as the identity it started as.
  bool has_eigensystem_ = false;
  int64_t eigen_generation_ = 0;
  std::vector<Real> eigenvectors_, roots_;
  Real smallest_eigenvalue_ = 1;
  int64_t eigen_repairs_ = 0;
  int64_t decompositions_ = 0;

  bool asked_ = false;
  std::vector<Real> steps_;    ///< y [lambda, n]
  std::vector<Real> lengths_;  ///< ||C^{-1/2} y||^2 where known from the draws, else empty
  std::vector<double> mean_as_double_;
  bool last_h_ = true;
  std::string stop_;
};

extern template class CmaEs<double>;
extern template class CmaEs<float>;

}  // namespace namm::evolution
