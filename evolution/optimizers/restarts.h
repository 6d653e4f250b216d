#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evolution/optimizers/wrapped.h"

namespace namm::evolution {

enum class RestartScheme { ipop, bipop };

struct RestartSettings {
  RestartScheme scheme = RestartScheme::ipop;
  int64_t population = 0;  ///< of the first run
  bool even_population = false;
  double sigma = 0;   ///< of the first run
  double radius = 0;  ///< runs after the first start uniformly within this distance of `mean`, each parameter
  int64_t restarts = 9;  ///< with a larger population; then it stops
};

/// Begins again when the inner optimiser stops, all inside tell, so that the caller's loop stays ask and
/// tell; population() may be another afterwards.
///
/// IPOP (Auger and Hansen 2005): the population doubles each time. BIPOP (Hansen 2009): the same, alternating
/// with runs of small populations floor(lambda (lambda_large / (2 lambda))^(U^2)) and step sizes sigma
/// 10^(-2 U), U uniform, as long as these have used fewer evaluations; a small run ends at half of the
/// evaluations of the large ones. Every run has a seed of its own, a function of (seed, run).
///
/// The answer is the mean of the run that has told the best value: fitness is compared between generations,
/// so a noisy run should not restart.
class RestartingOptimizer final : public WrappedOptimizer {
 public:
  /// A new inner optimiser; must end by itself (TerminatingOptimizer).
  using Factory = std::function<std::unique_ptr<Optimizer>(int64_t population, double sigma,
                                                           std::span<const double> mean, uint64_t seed)>;

  RestartingOptimizer(RestartSettings settings, std::span<const double> mean, uint64_t seed, Factory factory);

  int64_t generation() const override { return generation_; }
  std::span<const double> mean() const override;
  TellReport tell(std::span<const double> fitness) override;
  OptimizerState state() const override;
  void restore(const OptimizerState& state) override;
  std::optional<std::string> stop() const override;

  /// Runs begun after the first.
  int64_t restarts() const { return run_; }
  /// Why the run before the current one ended; empty in the first run and after a restore.
  const std::string& last_reason() const { return last_reason_; }

 private:
  bool answers_itself() const;
  int64_t rounded(double population) const;
  bool is_last_run() const;
  std::string end_of_restarts(const std::string& reason) const;
  void begin_next_run(const std::string& reason);

  RestartSettings settings_;
  std::vector<double> start_;
  uint64_t seed_;
  Factory factory_;

  int64_t generation_ = 0;  ///< of all runs
  int64_t run_ = 0;         ///< 0: the first
  int64_t small_runs_ = 0;  ///< begun
  bool small_ = true;       ///< accounting of the current run; the first counts as small (pycma)
  int64_t large_evaluations_ = 0, small_evaluations_ = 0;  ///< of all runs, the current one included
  int64_t run_evaluations_ = 0;
  int64_t run_limit_ = 0;             ///< evaluations that end the run; 0: none
  double run_best_;                   ///< best fitness of the current run
  double earlier_best_;               ///< of the runs before
  std::vector<double> earlier_mean_;  ///< where the best of them ended
  std::string last_reason_, stop_;
};

}  // namespace namm::evolution
