#include "evolution/optimizers/sep_cma_es.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "core/errors.h"
#include "core/text.h"
#include "evolution/optimizers/cma_es.h"
#include "evolution/optimizers/support.h"

namespace namm::evolution {

SepCmaConstants sep_cma_constants(int64_t dimension, int64_t population) {
  const CmaConstants full = cma_constants(dimension, population, 0.5, false);
  const auto n = static_cast<double>(dimension);
  const double root = std::sqrt(n), mu_eff = full.mu_eff;
  SepCmaConstants constants{full.parents, mu_eff,      full.c_sigma, full.d_sigma, 0, 0, 0,
                            full.chi,     full.weights};
  constants.c_c = (1 + 1 / n + mu_eff / n) / (root + 1 / n + 2 * mu_eff / n);
  constants.c_1 = 1 / (n + 2 * root + mu_eff / n);
  constants.c_mu =
      std::min(1 - constants.c_1, (0.25 + mu_eff - 2 + 1 / mu_eff) / (n + 4 * root + mu_eff / 2));

  // The third bound on the negative weights keeps a full matrix positive definite; factors need no such
  // bound.
  double alpha = 1 + 2 * full.mu_eff_negative / (mu_eff + 2);
  if (constants.c_mu > 0) {
    alpha = std::min(alpha, 1 + constants.c_1 / constants.c_mu);
  }
  double negative = 0;
  for (const double weight : constants.weights) {
    negative += std::min(weight, 0.0);
  }
  for (double& weight : constants.weights) {
    if (weight < 0) {
      weight *= alpha / -negative;
    }
  }
  return constants;
}

SepCmaEs::SepCmaEs(int64_t population, double sigma, std::span<const double> mean, uint64_t seed)
    : constants_(sep_cma_constants(static_cast<int64_t>(mean.size()), population)),
      n_(static_cast<int64_t>(mean.size())),
      lambda_(population),
      seed_(seed),
      sigma_0_(sigma),
      sigma_(sigma),
      mean_(mean.begin(), mean.end()),
      path_sigma_(mean.size()),
      path_c_(mean.size()),
      variances_(mean.size(), 1.0) {}

std::vector<double> SepCmaEs::ask() {
  std::vector<double> draws(static_cast<std::size_t>(lambda_ * n_));
  for (int64_t member = 0; member < lambda_; ++member) {
    draw_normals(seed_, generation_, member, std::span(draws).subspan(member * n_, n_));
  }
  return ask_from(draws);
}

std::vector<double> SepCmaEs::ask_from(std::span<const double> draws) {
  if (static_cast<int64_t>(draws.size()) != lambda_ * n_) {
    throw std::invalid_argument("SepCmaEs::ask_from: draws must have population x dimension values");
  }
  draws_.assign(draws.begin(), draws.end());
  std::vector<double> x(draws_.size());
  for (int64_t i = 0; i < n_; ++i) {
    const double deviation = sigma_ * std::sqrt(variances_[i]);
    for (int64_t member = 0; member < lambda_; ++member) {
      x[member * n_ + i] = mean_[i] + deviation * draws_[member * n_ + i];
    }
  }
  asked_ = true;
  return x;
}

TellReport SepCmaEs::tell(std::span<const double> fitness) {
  check_fitness_size("SepCmaEs", fitness, lambda_);
  if (!asked_) {
    ask();
  }
  asked_ = false;
  TellReport report;
  report.non_finite = count_non_finite(fitness);
  if (report.non_finite == lambda_ || !stop_.empty()) {
    report.updated = false;
    generation_ += stop_.empty() ? 1 : 0;
    return report;
  }
  const SepCmaConstants& k = constants_;
  const std::vector<int64_t> order = rank_members(fitness);
  const auto n = static_cast<double>(n_);

  std::vector<double> white_step(static_cast<std::size_t>(n_)), spread(white_step), step(white_step);
  for (int64_t rank = 0; rank < lambda_; ++rank) {
    const double weight = k.weights[rank], positive = std::max(weight, 0.0);
    const double* z = draws_.data() + order[rank] * n_;
    for (int64_t i = 0; i < n_; ++i) {
      white_step[i] += positive * z[i];
      spread[i] += weight * (z[i] * z[i] - 1);
    }
  }
  std::vector<double> mean = mean_, path_sigma = path_sigma_, path_c = path_c_, variances = variances_;
  for (int64_t i = 0; i < n_; ++i) {
    step[i] = std::sqrt(variances_[i]) * white_step[i];
    mean[i] += sigma_ * step[i];
  }
  follow_path(k.c_sigma, k.mu_eff, white_step, path_sigma);
  const double path_squared = squared_length(path_sigma);
  const double bias = 1 - std::pow(1 - k.c_sigma, 2 * static_cast<double>(generation_ + 1));
  const bool h = path_squared / bias < (2 + 4 / (n + 1)) * n;
  if (!h) {
    std::fill(step.begin(), step.end(), 0.0);
  }
  follow_path(k.c_c, k.mu_eff, step, path_c);
  const double lost = h ? 0 : k.c_c * (2 - k.c_c);  // variance that a stalled path misses
  for (int64_t i = 0; i < n_; ++i) {
    variances[i] *=
        std::exp2(k.c_1 * (path_c[i] * path_c[i] / variances_[i] - 1 + lost) + k.c_mu * spread[i]);
  }
  const double exponent = k.c_sigma / k.d_sigma * (std::sqrt(path_squared) / k.chi - 1);
  const double sigma = sigma_ * std::exp(std::clamp(exponent, -1.0, 1.0));

  const bool positive =
      std::all_of(variances.begin(), variances.end(), [](double variance) { return variance > 0; });
  if (!all_finite(mean) || !all_finite(path_sigma) || !all_finite(path_c) || !all_finite(variances) ||
      !positive || !std::isfinite(sigma) || sigma <= 0) {
    stop_ = format_text("non-finite state: the update of generation {} overflows (sigma {})", generation_,
                        sigma_);
    report.updated = false;
    return report;
  }
  mean_ = std::move(mean);
  path_sigma_ = std::move(path_sigma);
  path_c_ = std::move(path_c);
  variances_ = std::move(variances);
  sigma_ = sigma;
  ++generation_;
  return report;
}

OptimizerState SepCmaEs::state() const {
  return {kind(),
          {scalar_array("population", lambda_), scalar_array("generation", generation_),
           scalar_array("seed", static_cast<int64_t>(seed_)), scalar_array("sigma", sigma_),
           scalar_array("sigma_0", sigma_0_), vector_array("mean", mean_),
           vector_array("path_sigma", path_sigma_), vector_array("path_c", path_c_),
           vector_array("variances", variances_)}};
}

void SepCmaEs::restore(const OptimizerState& state) {
  const NamedArrays& arrays = state.arrays;
  if (state.kind != kind()) {
    throw DataError(format_text("saved state is of optimiser \"{}\", expected \"{}\"", state.kind, kind()));
  }
  check_saved_size(arrays, n_, lambda_);
  const auto generation = integer_of(arrays, "generation");
  const auto seed = integer_of(arrays, "seed");
  const double sigma = double_of(arrays, "sigma"), sigma_0 = double_of(arrays, "sigma_0");
  const auto& path_sigma = doubles_of(arrays, "path_sigma", n_);
  const auto& path_c = doubles_of(arrays, "path_c", n_);
  const auto& variances = doubles_of(arrays, "variances", n_);
  const bool positive =
      std::all_of(variances.begin(), variances.end(), [](double variance) { return variance > 0; });
  if (generation < 0 || !(sigma > 0) || !(sigma_0 > 0) || !positive) {
    throw DataError("saved state of sep-cma-es: generation, sigma or variances is out of range");
  }
  generation_ = generation;
  seed_ = static_cast<uint64_t>(seed);
  sigma_ = sigma;
  sigma_0_ = sigma_0;
  mean_ = doubles_of(arrays, "mean", n_);
  path_sigma_ = path_sigma;
  path_c_ = path_c;
  variances_ = variances;
  asked_ = false;
  stop_.clear();
}

std::optional<std::string> SepCmaEs::stop() const {
  return stop_.empty() ? std::nullopt : std::optional(stop_);
}

std::optional<std::string> SepCmaEs::alarm() const {
  return sigma_alarm(sigma_, sigma_0_);
}

SearchDistribution SepCmaEs::distribution(int64_t axis) const {
  SearchDistribution distribution;
  for (int64_t i = 0; i < n_; ++i) {
    distribution.deviations.push_back(sigma_ * std::sqrt(variances_[i]));
    distribution.path.push_back(sigma_ * path_c_[i]);
  }
  distribution.axis.assign(mean_.size(), 0);
  distribution.axis[axis % n_] = distribution.deviations[axis % n_];
  const auto [smallest, largest] = std::minmax_element(variances_.begin(), variances_.end());
  distribution.condition = *largest / *smallest;
  return distribution;
}

}  // namespace namm::evolution
