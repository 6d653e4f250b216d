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
  }
  void check(const ConfigNode& node) const;
};

/// The kind that `auto` stands for at this dimension; other names unchanged.
std::string resolved_kind(const OptimizerConfig& config, int64_t dimension);

/// A new optimiser at `mean` [n]. Throws ConfigError for an unknown kind (answered with the list) and for
/// combinations that make no sense; texts start with the key.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, std::span<const double> mean,
                                          uint64_t seed);

}  // namespace namm::evolution
