#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/config.h"
#include "evolution/optimizer.h"

namespace namm::evolution {

/// Names of the optimisers, as `kind` may have them besides `auto`.
const std::vector<std::string>& optimizer_names();

/// `optimizer_names()` and `auto`.
std::vector<std::string> optimizer_kinds();

/// The `evolution:` mapping of a configuration, as far as the optimiser goes.
struct OptimizerConfig {
  std::string kind =
      "auto";              ///< a name of `optimizer_names()`, or auto: cma-es for n <= 1000, cr-fm-nes above
  int64_t population = 0;  ///< members a generation; 0: 4 + floor(3 ln n), made even for cr-fm-nes
  double sigma = 0.065;    ///< initial step size
  double elite_ratio = 0.5;  ///< share of members with a positive weight (cma-es only), in (0, 0.5]
  bool parity =
      false;  ///< cma-es only: constants, order and float32 state of the published code (namm-semantics 7)

  bool termination = false;       ///< end by the tolerances of TerminatingOptimizer
  std::string restarts = "none";  ///< none, ipop or bipop (RestartingOptimizer); brings termination with it
  double restart_radius = 0;      ///< later runs begin uniformly within this of the start, each parameter
  int64_t max_restarts = 9;
  int64_t average_mean = 0;   ///< generations of MeanAverage; 0: the answer is the mean itself
  int64_t reevaluations = 0;  ///< members of Reevaluation; 0: none

  bool operator==(const OptimizerConfig&) const = default;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("kind", self.kind, one_of(optimizer_kinds()),
          "optimiser; auto: cma-es up to 1000 parameters, cr-fm-nes above");
    visit("population", self.population, between(0, 1 << 20),
          "members of a generation; 0: 4 + floor(3 ln n)");
    visit("sigma", self.sigma, above(0), "initial step size");
    visit("elite_ratio", self.elite_ratio, above(0) && at_most(0.5),
          "cma-es: share of members with a positive weight");
    visit("parity", self.parity, "cma-es: constants, order and float32 state of the published NAMM code");
    visit("termination", self.termination, "end by tolerances; for noise-free fitness");
    visit(
        "restarts", self.restarts, one_of({"none", "ipop", "bipop"}),
        "begin again at the end by tolerances, ipop: with twice the population, bipop: also with small ones");
    visit("restart_radius", self.restart_radius, at_least(0),
          "restarts begin uniformly within this distance of the start, each parameter");
    visit("max_restarts", self.max_restarts, between(1, 1000), "restarts with a larger population");
    visit("average_mean", self.average_mean, between(0, 1 << 20),
          "the answer is the mean averaged over about so many generations; 0: not averaged");
    visit("reevaluations", self.reevaluations, between(0, 1 << 20),
          "members evaluated again a generation later, to notice noise and raise the step size; 0: none");
  }
  void check(const ConfigNode& node) const;
};

/// The configuration with what it leaves open settled for `dimension` parameters: kind and population. Throws
/// ConfigError for an unknown kind (answered with the list) and for combinations that make no sense; texts
/// start with the key.
OptimizerConfig resolve_optimizer(const OptimizerConfig& config, int64_t dimension);

/// A new optimiser at `mean` [n]. Throws as resolve_optimizer; also ConfigError for a mean that is not
/// finite.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, std::span<const double> mean,
                                          uint64_t seed);

}  // namespace namm::evolution
