#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evolution/optimizers/wrapped.h"

namespace namm::evolution {

/// Tolerances of pycma 4 with its defaults (evolution 1, "Termination"). Their names begin the reason.
struct Tolerances {
  double tolfun = 1e-11;         ///< range of a generation and of the recent best values
  double tolfunhist = 1e-12;     ///< range of the recent best values alone
  double tolx = 1e-11;           ///< deviation of every parameter, and sigma p_c
  double tolfacupx = 1e3;        ///< growth of a deviation over the initial step size
  double condition = 1e14;       ///< of the covariance
  int64_t flat_generations = 1;  ///< generations in a row whose values are all equal that are tolerated
};

/// Ends a run by name when it has converged or cannot go on, for restarts and noise-free problems. Fitness is
/// compared between generations here, so a noisy run must not use it.
///
/// Reasons: tolfun, tolfunhist, tolx, tolfacupx, conditioncov, flatfitness, stagnation, noeffectaxis,
/// noeffectcoord, maxiter.
class TerminatingOptimizer final : public WrappedOptimizer {
 public:
  explicit TerminatingOptimizer(std::unique_ptr<Optimizer> inner, Tolerances tolerances = {});

  TellReport tell(std::span<const double> fitness) override;
  OptimizerState state() const override;
  void restore(const OptimizerState& state) override;
  std::optional<std::string> stop() const override;

 private:
  std::string reason() const;
  std::string reason_of_values() const;
  std::string reason_of_distribution() const;
  bool stagnates() const;

  Tolerances tolerances_;
  double sigma_0_;
  int64_t recent_;  ///< generations whose best values tolfun and tolfunhist look at

  int64_t generations_ = 0;            ///< recorded, those without any finite value left out
  int64_t flat_ = 0;                   ///< generations in a row with equal values
  double range_ = 0;                   ///< of the last generation
  std::vector<double> best_, median_;  ///< cost of the generations, newest last, at most 20,000
  std::string stop_;
};

}  // namespace namm::evolution
