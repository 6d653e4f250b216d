#include "evolution/optimizers/sep_cma_es.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "core/errors.h"
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

  // The third bound on the negative weights keeps a full matrix positive definite (and may take all of them
  // away, in few dimensions): factors need no such bound.
  double alpha = 1 + 2 * full.mu_eff_negative / (mu_eff + 2);
  if (constants.c_mu > 0) {
    alpha = std::min(alpha, 1 + constants.c_1 / constants.c_mu);
  }
  double negative = 0;
  for (int64_t i = full.parents; i < population; ++i) {
    double& weight = constants.weights[static_cast<std::size_t>(i)];
    weight = std::min(raw_weight(population, i), 0.0);
    negative += weight;
  }
  for (int64_t i = full.parents; i < population && negative < 0; ++i) {
    constants.weights[static_cast<std::size_t>(i)] *= alpha / -negative;
  }
  return constants;
}

SepCmaEs::SepCmaEs(int64_t population, double sigma, std::span<const double> mean, uint64_t seed)
    : LinearOptimizer(population, sigma, mean, seed),
      constants_(sep_cma_constants(n_, population)),
      path_sigma_(mean.size()),
      path_c_(mean.size()),
      variances_(mean.size(), 1.0) {}

std::vector<double> SepCmaEs::ask() {
  return ask_from(draw_members());
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

bool SepCmaEs::update(std::span<const int64_t> order) {
  const SepCmaConstants& k = constants_;
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
    return overflow();
  }
  mean_ = std::move(mean);
  path_sigma_ = std::move(path_sigma);
  path_c_ = std::move(path_c);
  variances_ = std::move(variances);
  sigma_ = sigma;
  return true;
}

NamedArrays SepCmaEs::own_arrays() const {
  return {vector_array("path_sigma", path_sigma_), vector_array("path_c", path_c_),
          vector_array("variances", variances_)};
}

void SepCmaEs::restore_own(const NamedArrays& arrays, int64_t) {
  const auto& path_sigma = doubles_of(arrays, "path_sigma", n_);
  const auto& path_c = doubles_of(arrays, "path_c", n_);
  const auto& variances = doubles_of(arrays, "variances", n_);
  if (!std::all_of(variances.begin(), variances.end(), [](double variance) { return variance > 0; })) {
    throw DataError("saved state of sep-cma-es: a variance is out of range");
  }
  path_sigma_ = path_sigma;
  path_c_ = path_c;
  variances_ = variances;
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
