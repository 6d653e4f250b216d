#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "evolution/optimizer.h"

namespace namm::evolution {

/// The `evolution:` mapping of a configuration, as far as the optimiser goes.
struct OptimizerConfig {
  std::string kind =
      "auto";              ///< a name of `optimizer_names()`, or auto: cma-es for n <= 1000, cr-fm-nes above
  int64_t population = 0;  ///< members a generation; 0: 4 + floor(3 ln n), made even for cr-fm-nes
  double sigma = 0.065;    ///< initial step size
  double elite_ratio = 0.5;  ///< share of members with a positive weight (cma-es only), in (0, 0.5]
  bool parity =
      false;  ///< cma-es only: constants, order and float32 state of the published code (namm-semantics 7)
};

/// Names that `kind` may have besides `auto`.
const std::vector<std::string>& optimizer_names();

/// The kind that `auto` stands for at this dimension; other names unchanged.
std::string resolved_kind(const OptimizerConfig& config, int64_t dimension);

/// A new optimiser at `mean` [n]. Throws ConfigError for an unknown kind (answered with the list) and for
/// combinations that make no sense; texts start with the key.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, std::span<const double> mean,
                                          uint64_t seed);

}  // namespace namm::evolution
