#include "evolution/optimizers/lm_ma_es.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "core/errors.h"
#include "evolution/optimizers/cma_es.h"
#include "evolution/optimizers/support.h"

namespace namm::evolution {

LmMaConstants lm_ma_constants(int64_t dimension, int64_t population) {
  const CmaConstants full = cma_constants(dimension, population, 0.5, false);
  const auto n = static_cast<double>(dimension), lambda = static_cast<double>(population);
  LmMaConstants constants;
  constants.vectors = 4 + static_cast<int64_t>(std::floor(3 * std::log(n)));
  constants.parents = full.parents;
  constants.mu_eff = full.mu_eff;
  constants.c_sigma = std::min(1.0, 2 * lambda / n);
  for (int64_t j = 0; j < constants.vectors; ++j) {
    constants.c_d.push_back(1 / (std::pow(1.5, j) * n));
    constants.c_c.push_back(std::min(1.0, lambda / (std::pow(4.0, j) * n)));
  }
  constants.weights.assign(full.weights.begin(), full.weights.begin() + full.parents);
  return constants;
}

LmMaEs::LmMaEs(int64_t population, double sigma, std::span<const double> mean, uint64_t seed)
    : LinearOptimizer(population, sigma, mean, seed),
      constants_(lm_ma_constants(n_, population)),
      path_sigma_(mean.size()),
      vectors_(static_cast<std::size_t>(constants_.vectors) * mean.size()) {}

std::vector<double> LmMaEs::ask() {
  return ask_from(draw_members());
}

std::vector<double> LmMaEs::ask_from(std::span<const double> draws) {
  if (static_cast<int64_t>(draws.size()) != lambda_ * n_) {
    throw std::invalid_argument("LmMaEs::ask_from: draws must have population x dimension values");
  }
  draws_.assign(draws.begin(), draws.end());
  steps_ = draws_;
  std::vector<double> x(draws_.size());
  const int64_t used = std::min(updates_, constants_.vectors);
  for (int64_t member = 0; member < lambda_; ++member) {
    double* d = steps_.data() + member * n_;
    for (int64_t j = 0; j < used; ++j) {
      const double* m = vectors_.data() + j * n_;
      double along = 0;
      for (int64_t i = 0; i < n_; ++i) {
        along += m[i] * d[i];
      }
      const double rate = constants_.c_d[j];
      for (int64_t i = 0; i < n_; ++i) {
        d[i] = (1 - rate) * d[i] + rate * along * m[i];
      }
    }
    for (int64_t i = 0; i < n_; ++i) {
      x[member * n_ + i] = mean_[i] + sigma_ * d[i];
    }
  }
  asked_ = true;
  return x;
}

bool LmMaEs::update(std::span<const int64_t> order) {
  const LmMaConstants& k = constants_;
  std::vector<double> white_step(static_cast<std::size_t>(n_)), mean = mean_;
  for (int64_t rank = 0; rank < k.parents; ++rank) {
    const double* z = draws_.data() + order[rank] * n_;
    const double* d = steps_.data() + order[rank] * n_;
    for (int64_t i = 0; i < n_; ++i) {
      white_step[i] += k.weights[rank] * z[i];
      mean[i] += sigma_ * k.weights[rank] * d[i];
    }
  }
  std::vector<double> path_sigma = path_sigma_, vectors = vectors_;
  follow_path(k.c_sigma, k.mu_eff, white_step, path_sigma);
  for (int64_t j = 0; j < k.vectors; ++j) {
    follow_path(k.c_c[j], k.mu_eff, white_step, std::span(vectors).subspan(j * n_, n_));
  }
  const double exponent = k.c_sigma / 2 * (squared_length(path_sigma) / static_cast<double>(n_) - 1);
  const double sigma = sigma_ * std::exp(std::clamp(exponent, -1.0, 1.0));
  if (!all_finite(mean) || !all_finite(path_sigma) || !all_finite(vectors) || !std::isfinite(sigma) ||
      sigma <= 0) {
    return overflow();
  }
  mean_ = std::move(mean);
  path_sigma_ = std::move(path_sigma);
  vectors_ = std::move(vectors);
  sigma_ = sigma;
  ++updates_;
  return true;
}

NamedArrays LmMaEs::own_arrays() const {
  return {scalar_array("updates", updates_), vector_array("path_sigma", path_sigma_),
          NamedArray{"vectors", {constants_.vectors, n_}, vectors_}};
}

void LmMaEs::restore_own(const NamedArrays& arrays, int64_t generation) {
  const auto updates = integer_of(arrays, "updates");
  const auto& path_sigma = doubles_of(arrays, "path_sigma", n_);
  const auto& vectors = doubles_of(arrays, "vectors", constants_.vectors * n_);
  if (updates < 0 || updates > generation) {
    throw DataError("saved state of lm-ma-es: updates is out of range");
  }
  updates_ = updates;
  path_sigma_ = path_sigma;
  vectors_ = vectors;
}

/// Of the product of factors only the step size is known without forming it.
SearchDistribution LmMaEs::distribution(int64_t) const {
  SearchDistribution distribution;
  distribution.deviations.assign(mean_.size(), sigma_);
  return distribution;
}

}  // namespace namm::evolution
