#include "evolution/optimizer_list.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include "core/errors.h"
#include "core/text.h"
#include "evolution/optimizers/cma_es.h"
#include "evolution/optimizers/cr_fm_nes.h"
#include "evolution/optimizers/lm_ma_es.h"
#include "evolution/optimizers/mean_average.h"
#include "evolution/optimizers/random_search.h"
#include "evolution/optimizers/reevaluation.h"
#include "evolution/optimizers/restarts.h"
#include "evolution/optimizers/sep_cma_es.h"
#include "evolution/optimizers/termination.h"

namespace namm::evolution {
namespace {

/// Where `auto` changes over.
constexpr int64_t kLargestFullCovariance = 1000;
/// LAPACK counts its workspace, 2 n^2, in 32 bits.
constexpr int64_t kLargestMatrix = 32000;

struct Entry {
  std::string name;
  int64_t smallest_population;
  bool even_population;
  bool adapts;  ///< has a step size and a mean that converge
  std::function<std::unique_ptr<Optimizer>(const OptimizerConfig&, std::span<const double>, uint64_t)> make;
};

std::unique_ptr<Optimizer> make_cma_es(const OptimizerConfig& config, std::span<const double> mean,
                                       uint64_t seed) {
  const CmaSettings settings{config.population, config.sigma, config.elite_ratio, config.parity};
  if (config.parity) {
    return std::make_unique<CmaEs<float>>(settings, mean, seed);
  }
  return std::make_unique<CmaEs<double>>(settings, mean, seed);
}

/// For classes that need no more than population and step size.
template <class T>
std::unique_ptr<Optimizer> make_plain(const OptimizerConfig& config, std::span<const double> mean,
                                      uint64_t seed) {
  return std::make_unique<T>(config.population, config.sigma, mean, seed);
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry> list = {
      {"cma-es", 2, false, true, make_cma_es},
      {"sep-cma-es", 2, false, true, make_plain<SepCmaEs>},
      {"cr-fm-nes", 4, true, true, make_plain<CrFmNes>},
      {"lm-ma-es", 2, false, true, make_plain<LmMaEs>},
      {"random-search", 2, false, false, make_plain<RandomSearch>},
  };
  return list;
}

const Entry* find_entry(const std::string& name) {
  const auto found =
      std::find_if(entries().begin(), entries().end(), [&](const Entry& e) { return e.name == name; });
  return found == entries().end() ? nullptr : &*found;
}

struct Fault {
  std::string key, value, allowed;
};

/// What is wrong with what stands around an optimiser.
std::optional<Fault> fault_of_options(const OptimizerConfig& config, const Entry& entry) {
  std::string unfit;
  if (!entry.adapts) {
    unfit = format_text("not with {}, which adapts nothing", entry.name);
  } else if (config.parity) {
    unfit = "not with parity, which does what the published code does";
  }
  if (config.termination && !unfit.empty()) {
    return Fault{"termination", "true", unfit};
  }
  if (config.restarts != "none" && !unfit.empty()) {
    return Fault{"restarts", config.restarts, unfit};
  }
  if (config.average_mean > 0 && !entry.adapts) {
    return Fault{"average_mean", std::to_string(config.average_mean), unfit};
  }
  if (config.reevaluations > 0 && !unfit.empty()) {
    return Fault{"reevaluations", std::to_string(config.reevaluations), unfit};
  }
  if (config.reevaluations == 1 || (config.population > 0 && config.reevaluations > config.population)) {
    return Fault{"reevaluations", std::to_string(config.reevaluations),
                 "0, or from 2 (the order of members is looked at) to the population"};
  }
  return std::nullopt;
}

/// What is wrong with the combination of values once the kind is known.
std::optional<Fault> fault(const OptimizerConfig& config, const Entry& entry) {
  const std::string population = std::to_string(config.population);
  if (config.population != 0 && config.population < entry.smallest_population) {
    return Fault{"population", population,
                 format_text("at least {} for {}", entry.smallest_population, entry.name)};
  }
  if (config.population != 0 && entry.even_population && config.population % 2 != 0) {
    return Fault{"population", population,
                 format_text("an even number for {}, which draws mirrored pairs", entry.name)};
  }
  if (entry.name != "cma-es" && config.parity) {
    return Fault{"parity", "true", format_text("only with kind: cma-es, not with {}", entry.name)};
  }
  if (entry.name != "cma-es" && config.elite_ratio != 0.5) {
    return Fault{"elite_ratio", format_text("{}", config.elite_ratio),
                 format_text("only with kind: cma-es; {} has fixed weights", entry.name)};
  }
  return fault_of_options(config, entry);
}

/// One run: the optimiser with what belongs to it from its start to its end.
std::unique_ptr<Optimizer> make_run(const OptimizerConfig& config, const Entry& entry,
                                    std::span<const double> mean, uint64_t seed) {
  std::unique_ptr<Optimizer> optimizer = entry.make(config, mean, seed);
  if (config.termination || config.restarts != "none") {
    optimizer = std::make_unique<TerminatingOptimizer>(std::move(optimizer));
  }
  if (config.average_mean > 0) {
    optimizer = std::make_unique<MeanAverage>(std::move(optimizer), config.average_mean);
  }
  return optimizer;
}

std::unique_ptr<Optimizer> make_restarting(const OptimizerConfig& config, const Entry& entry,
                                           std::span<const double> mean, uint64_t seed) {
  RestartSettings settings;
  settings.scheme = config.restarts == "bipop" ? RestartScheme::bipop : RestartScheme::ipop;
  settings.population = config.population;
  settings.even_population = entry.even_population;
  settings.sigma = config.sigma;
  settings.radius = config.restart_radius;
  settings.restarts = config.max_restarts;
  const auto factory = [config, entry](int64_t population, double sigma, std::span<const double> start,
                                       uint64_t run_seed) {
    OptimizerConfig run = config;
    run.population = population;
    run.sigma = sigma;
    return make_run(run, entry, start, run_seed);
  };
  return std::make_unique<RestartingOptimizer>(settings, mean, seed, factory);
}

/// The kind that `auto` stands for at this dimension; other names unchanged.
std::string resolved_kind(const OptimizerConfig& config, int64_t dimension) {
  if (config.kind != "auto") {
    return config.kind;
  }
  // Only cma-es has a parity form and an elite ratio.
  return dimension <= kLargestFullCovariance || config.parity || config.elite_ratio != 0.5 ? "cma-es"
                                                                                           : "cr-fm-nes";
}

}  // namespace

const std::vector<std::string>& optimizer_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Entry& entry : entries()) {
      list.push_back(entry.name);
    }
    return list;
  }();
  return names;
}

std::vector<std::string> optimizer_kinds() {
  std::vector<std::string> kinds = {"auto"};
  kinds.insert(kinds.end(), optimizer_names().begin(), optimizer_names().end());
  return kinds;
}

void OptimizerConfig::check(const ConfigNode& node) const {
  // With `auto` the kind depends on the number of parameters: make_optimizer checks it then.
  const Entry* entry = find_entry(kind);
  if (entry == nullptr) {
    return;
  }
  if (const auto wrong = fault(*this, *entry)) {
    node.fail_entry(wrong->key, wrong->value, wrong->allowed);
  }
}

OptimizerConfig resolve_optimizer(const OptimizerConfig& config, int64_t dimension) {
  OptimizerConfig resolved = config;
  resolved.kind = resolved_kind(config, dimension);
  const Entry* entry = find_entry(resolved.kind);
  if (entry == nullptr) {
    throw ConfigError(
        format_text("evolution.kind = {}: one of {}", config.kind, join(optimizer_kinds(), ", ")));
  }
  if (dimension < 1) {
    throw ConfigError("evolution: there is no parameter to evolve");
  }
  if (entry->name == "cma-es" && dimension > kLargestMatrix) {
    throw ConfigError(format_text(
        "evolution.kind = cma-es: at most {} parameters, here are {}; take sep-cma-es or cr-fm-nes",
        kLargestMatrix, dimension));
  }
  if (!(resolved.sigma > 0) || !std::isfinite(resolved.sigma)) {
    throw ConfigError(format_text("evolution.sigma = {}: above 0", resolved.sigma));
  }
  if (!(resolved.elite_ratio > 0 && resolved.elite_ratio <= 0.5)) {
    throw ConfigError(format_text("evolution.elite_ratio = {}: above 0, at most 0.5", resolved.elite_ratio));
  }
  if (resolved.population == 0) {
    resolved.population = 4 + static_cast<int64_t>(std::floor(3 * std::log(static_cast<double>(dimension))));
    resolved.population += entry->even_population ? resolved.population % 2 : 0;
  }
  if (const auto wrong = fault(resolved, *entry)) {
    throw ConfigError(format_text("evolution.{} = {}: {}", wrong->key, wrong->value, wrong->allowed));
  }
  return resolved;
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config, std::span<const double> mean,
                                          uint64_t seed) {
  const OptimizerConfig resolved = resolve_optimizer(config, static_cast<int64_t>(mean.size()));
  if (!std::all_of(mean.begin(), mean.end(), [](double value) { return std::isfinite(value); })) {
    throw ConfigError("evolution: the initial parameters are not all finite");
  }
  const Entry* entry = find_entry(resolved.kind);
  auto optimizer = resolved.restarts == "none" ? make_run(resolved, *entry, mean, seed)
                                               : make_restarting(resolved, *entry, mean, seed);
  if (resolved.reevaluations > 0) {
    optimizer = std::make_unique<Reevaluation>(std::move(optimizer), resolved.reevaluations);
  }
  return optimizer;
}

}  // namespace namm::evolution
