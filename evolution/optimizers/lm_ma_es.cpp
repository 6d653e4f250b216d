#include "evolution/optimizers/lm_ma_es.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "core/errors.h"
#include "core/text.h"
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
    : constants_(lm_ma_constants(static_cast<int64_t>(mean.size()), population)),
      n_(static_cast<int64_t>(mean.size())),
      lambda_(population),
      seed_(seed),
      sigma_0_(sigma),
      sigma_(sigma),
      mean_(mean.begin(), mean.end()),
      path_sigma_(mean.size()),
      vectors_(static_cast<std::size_t>(constants_.vectors) * mean.size()) {}

std::vector<double> LmMaEs::ask() {
  std::vector<double> draws(static_cast<std::size_t>(lambda_ * n_));
  for (int64_t member = 0; member < lambda_; ++member) {
    draw_normals(seed_, generation_, member, std::span(draws).subspan(member * n_, n_));
  }
  return ask_from(draws);
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

TellReport LmMaEs::tell(std::span<const double> fitness) {
  check_fitness_size("LmMaEs", fitness, lambda_);
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
  const LmMaConstants& k = constants_;
  const std::vector<int64_t> order = rank_members(fitness);
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
    stop_ = format_text("non-finite state: the update of generation {} overflows (sigma {})", generation_,
                        sigma_);
    report.updated = false;
    return report;
  }
  mean_ = std::move(mean);
  path_sigma_ = std::move(path_sigma);
  vectors_ = std::move(vectors);
  sigma_ = sigma;
  ++generation_;
  ++updates_;
  return report;
}

OptimizerState LmMaEs::state() const {
  return {
      kind(),
      {scalar_array("population", lambda_), scalar_array("generation", generation_),
       scalar_array("updates", updates_), scalar_array("seed", static_cast<int64_t>(seed_)),
       scalar_array("sigma", sigma_), scalar_array("sigma_0", sigma_0_), vector_array("mean", mean_),
       vector_array("path_sigma", path_sigma_), NamedArray{"vectors", {constants_.vectors, n_}, vectors_}}};
}

void LmMaEs::restore(const OptimizerState& state) {
  const NamedArrays& arrays = state.arrays;
  if (state.kind != kind()) {
    throw DataError(format_text("saved state is of optimiser \"{}\", expected \"{}\"", state.kind, kind()));
  }
  check_saved_size(arrays, n_, lambda_);
  const auto generation = integer_of(arrays, "generation"), updates = integer_of(arrays, "updates");
  const auto seed = integer_of(arrays, "seed");
  const double sigma = double_of(arrays, "sigma"), sigma_0 = double_of(arrays, "sigma_0");
  const auto& path_sigma = doubles_of(arrays, "path_sigma", n_);
  const auto& vectors = doubles_of(arrays, "vectors", constants_.vectors * n_);
  if (generation < 0 || updates < 0 || updates > generation || !(sigma > 0) || !(sigma_0 > 0)) {
    throw DataError("saved state of lm-ma-es: generation, updates or sigma is out of range");
  }
  generation_ = generation;
  updates_ = updates;
  seed_ = static_cast<uint64_t>(seed);
  sigma_ = sigma;
  sigma_0_ = sigma_0;
  mean_ = doubles_of(arrays, "mean", n_);
  path_sigma_ = path_sigma;
  vectors_ = vectors;
  asked_ = false;
  stop_.clear();
}

std::optional<std::string> LmMaEs::stop() const {
  return stop_.empty() ? std::nullopt : std::optional(stop_);
}

std::optional<std::string> LmMaEs::alarm() const {
  return sigma_alarm(sigma_, sigma_0_);
}

/// Of the product of factors only the step size is known without forming it.
SearchDistribution LmMaEs::distribution(int64_t) const {
  SearchDistribution distribution;
  distribution.deviations.assign(mean_.size(), sigma_);
  return distribution;
}

}  // namespace namm::evolution
