#include "evolution/optimizers/cma_es.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <type_traits>

#include "core/errors.h"
#include "core/random.h"
#include "core/text.h"
#include "evolution/blas.h"
#include "evolution/optimizers/support.h"

namespace namm::evolution {
namespace {

/// Below this share of the largest eigenvalue the smallest one is rounding noise (pycma stops at the same
/// condition).
constexpr double kSmallestShare = 1e-14;
/// Root that parity uses in place of those of eigenvalues <= 0.
constexpr double kParityRoot = 1e-20;
/// Keeps the rescaling of a negative weight finite for a member that did not move.
constexpr double kTinyLength = 1e-20;
constexpr double kParityShift = 1e-6;

template <class Real>
bool all_finite(const std::vector<Real>& values) {
  return std::all_of(values.begin(), values.end(), [](Real value) { return std::isfinite(value); });
}

template <class Real>
std::vector<double> as_doubles(const std::vector<Real>& values) {
  return std::vector<double>(values.begin(), values.end());
}

template <class Real>
std::vector<Real> as_reals(const std::vector<double>& values) {
  return std::vector<Real>(values.begin(), values.end());
}

template <class Real>
Real squared_length(const Real* values, int64_t count) {
  Real sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    sum += values[i] * values[i];
  }
  return sum;
}

}  // namespace

double raw_weight(int64_t population, int64_t rank) {
  return std::log((static_cast<double>(population) + 1) / 2) - std::log(static_cast<double>(rank + 1));
}

CmaConstants cma_constants(int64_t dimension, int64_t population, double elite_ratio, bool parity) {
  CmaConstants constants;
  const auto n = static_cast<double>(dimension);
  const auto lambda = static_cast<double>(population);
  const double capped = parity ? std::min(n, 40000.0) : n;
  constants.parents = std::max<int64_t>(1, static_cast<int64_t>(std::floor(lambda * elite_ratio)));

  std::vector<double>& weights = constants.weights;
  weights.resize(static_cast<std::size_t>(population));
  double positive = 0, positive_squares = 0, negative = 0, negative_squares = 0;
  for (int64_t i = 0; i < population; ++i) {
    double& weight = weights[static_cast<std::size_t>(i)];
    weight = raw_weight(population, i);
    if (i < constants.parents) {
      positive += weight;
      positive_squares += weight * weight;
    } else {
      // With an elite ratio below one half there are members that count neither way.
      weight = std::min(weight, 0.0);
      negative += weight;
      negative_squares += weight * weight;
    }
  }
  const double mu_eff = positive * positive / positive_squares;
  constants.mu_eff = mu_eff;
  constants.mu_eff_negative = negative_squares > 0 ? negative * negative / negative_squares : 0;

  const double mean_rate = (capped + 1.3) * (capped + 1.3) + mu_eff;
  constants.c_1 = (parity ? 1 : std::min(1.0, lambda / 6)) * 2 / mean_rate;
  const double rank_mu = (parity ? 0 : 0.25) + mu_eff - 2 + 1 / mu_eff;
  constants.c_mu =
      std::min(1 - constants.c_1 - (parity ? 1e-8 : 0), 2 * rank_mu / ((capped + 2) * (capped + 2) + mu_eff));
  constants.c_sigma = (mu_eff + 2) / (n + mu_eff + 5);
  constants.d_sigma = 1 + 2 * std::max(0.0, std::sqrt((mu_eff - 1) / (n + 1)) - 1) + constants.c_sigma;
  constants.c_c = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n);
  constants.chi = std::sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * capped * capped));
  constants.eigen_gap = 1 / (10 * n * (constants.c_1 + constants.c_mu));

  double alpha = 1 + 2 * constants.mu_eff_negative / (mu_eff + 2);
  if (constants.c_mu > 0) {
    alpha = std::min({alpha, 1 + constants.c_1 / constants.c_mu,
                      (1 - constants.c_1 - constants.c_mu) / (n * constants.c_mu)});
  }
  alpha = std::max(alpha, 0.0);
  for (int64_t i = 0; i < population; ++i) {
    double& weight = weights[static_cast<std::size_t>(i)];
    if (i < constants.parents) {
      weight /= positive;
    } else if (negative < 0) {
      weight *= alpha / -negative;
    }
    constants.weight_sum += weight;
  }
  return constants;
}

template <class Real>
CmaEs<Real>::CmaEs(const CmaSettings& settings, std::span<const double> mean, uint64_t seed)
    : settings_(settings),
      constants_(cma_constants(static_cast<int64_t>(mean.size()), settings.population, settings.elite_ratio,
                               settings.parity)),
      n_(static_cast<int64_t>(mean.size())),
      lambda_(settings.population),
      seed_(seed),
      sigma_(static_cast<Real>(settings.sigma)),
      mean_(mean.begin(), mean.end()),
      path_sigma_(mean.size()),
      path_c_(mean.size()),
      covariance_(mean.size() * mean.size()),
      mean_as_double_(as_doubles(mean_)) {
  for (int64_t i = 0; i < n_; ++i) {
    covariance_[i * n_ + i] = 1;
  }
}

template <class Real>
bool CmaEs<Real>::decomposition_due() const {
  if (settings_.parity) {
    return !has_eigensystem_ || eigen_generation_ != generation_;
  }
  // C is the identity at first: its eigensystem is known.
  return generation_ > 0 && generation_ != eigen_generation_ &&
         static_cast<double>(generation_ - eigen_generation_) >= constants_.eigen_gap;
}

template <class Real>
void CmaEs<Real>::repair(std::vector<Real>& eigenvalues) {
  const Real floor = static_cast<Real>(kSmallestShare) * std::abs(eigenvalues.back());
  if (eigenvalues.front() > floor) {
    smallest_eigenvalue_ = eigenvalues.front();
    return;
  }
  // Raising the diagonal shifts every eigenvalue by the same amount and leaves the eigenvectors alone.
  const Real shift = std::max(smallest_eigenvalue_, 2 * floor) - std::min(eigenvalues.front(), Real(0));
  for (int64_t i = 0; i < n_; ++i) {
    covariance_[i * n_ + i] += shift;
    eigenvalues[i] += shift;
  }
  ++eigen_repairs_;
}

template <class Real>
bool CmaEs<Real>::decompose() {
  std::vector<Real> vectors = covariance_;
  if (settings_.parity && generation_ == 0) {
    for (Real& entry : vectors) {
      entry += static_cast<Real>(kParityShift);
    }
  }
  std::vector<Real> values(static_cast<std::size_t>(n_));
  if (!blas::eigensystem(n_, vectors.data(), values.data())) {
    return false;
  }
  if (!settings_.parity) {
    repair(values);
  }
  for (Real& value : values) {
    value = value > 0 ? std::sqrt(value) : static_cast<Real>(kParityRoot);
  }
  eigenvectors_ = std::move(vectors);
  roots_ = std::move(values);
  has_eigensystem_ = true;
  eigen_generation_ = generation_;
  ++decompositions_;
  return true;
}

template <class Real>
std::vector<double> CmaEs<Real>::ask() {
  std::vector<double> draws(static_cast<std::size_t>(lambda_ * n_));
  for (int64_t member = 0; member < lambda_; ++member) {
    draw_normals(seed_, generation_, member, std::span(draws).subspan(member * n_, n_));
  }
  return ask_from(draws, Root::eigenvectors);
}

template <class Real>
std::vector<double> CmaEs<Real>::ask_from(std::span<const double> draws, Root root) {
  if (static_cast<int64_t>(draws.size()) != lambda_ * n_) {
    throw std::invalid_argument("CmaEs::ask_from: draws must have population x dimension values");
  }
  if (stop_.empty() && decomposition_due() && !decompose()) {
    stop_ = "eigendecomposition failed: the covariance matrix is not finite";
  }
  std::vector<Real> u(draws.begin(), draws.end());
  lengths_.clear();
  if (!settings_.parity) {
    for (int64_t member = 0; member < lambda_; ++member) {
      lengths_.push_back(squared_length(u.data() + member * n_, n_));
    }
  }
  if (has_eigensystem_) {
    steps_.resize(u.size());
    if (root == Root::symmetric) {
      blas::multiply(n_, lambda_, true, eigenvectors_.data(), u.data(), steps_.data());
      u.swap(steps_);
    }
    for (int64_t member = 0; member < lambda_; ++member) {
      for (int64_t i = 0; i < n_; ++i) {
        u[member * n_ + i] *= roots_[i];
      }
    }
    blas::multiply(n_, lambda_, false, eigenvectors_.data(), u.data(), steps_.data());
  } else {
    steps_ = std::move(u);
  }
  return finish_ask();
}

template <class Real>
std::vector<double> CmaEs<Real>::ask_with_steps(std::span<const double> steps) {
  if (static_cast<int64_t>(steps.size()) != lambda_ * n_) {
    throw std::invalid_argument("CmaEs::ask_with_steps: steps must have population x dimension values");
  }
  if (stop_.empty() && decomposition_due() && !decompose()) {
    stop_ = "eigendecomposition failed: the covariance matrix is not finite";
  }
  steps_.assign(steps.begin(), steps.end());
  lengths_.clear();
  return finish_ask();
}

template <class Real>
std::vector<double> CmaEs<Real>::finish_ask() {
  asked_ = true;
  std::vector<double> x(steps_.size());
  for (int64_t member = 0; member < lambda_; ++member) {
    for (int64_t i = 0; i < n_; ++i) {
      x[member * n_ + i] = static_cast<double>(mean_[i] + sigma_ * steps_[member * n_ + i]);
    }
  }
  return x;
}

/// C^{-1/2} v = B D^{-1} B^T v
template <class Real>
std::vector<Real> CmaEs<Real>::inverse_root_times(const std::vector<Real>& vector) const {
  if (!has_eigensystem_) {
    return vector;
  }
  std::vector<Real> rotated(vector.size()), result(vector.size());
  blas::multiply(n_, 1, true, eigenvectors_.data(), vector.data(), rotated.data());
  for (int64_t i = 0; i < n_; ++i) {
    rotated[i] /= roots_[i];
  }
  blas::multiply(n_, 1, false, eigenvectors_.data(), rotated.data(), result.data());
  return result;
}

/// ||C^{-1/2} y||^2 of each member
template <class Real>
std::vector<Real> CmaEs<Real>::squared_lengths() const {
  if (!lengths_.empty()) {
    return lengths_;
  }
  std::vector<Real> rotated(steps_.size());
  if (has_eigensystem_) {
    blas::multiply(n_, lambda_, true, eigenvectors_.data(), steps_.data(), rotated.data());
  } else {
    rotated = steps_;
  }
  std::vector<Real> lengths;
  for (int64_t member = 0; member < lambda_; ++member) {
    Real* row = rotated.data() + member * n_;
    if (has_eigensystem_) {
      for (int64_t i = 0; i < n_; ++i) {
        row[i] /= roots_[i];
      }
    }
    lengths.push_back(squared_length(row, n_));
  }
  return lengths;
}

/// y_w: the weighted mean of the parents' steps.
template <class Real>
std::vector<Real> CmaEs<Real>::parents_step(std::span<const int64_t> order) const {
  const CmaConstants& k = constants_;
  std::vector<Real> step(static_cast<std::size_t>(n_));
  for (int64_t rank = 0; rank < k.parents; ++rank) {
    const auto weight = static_cast<Real>(k.weights[rank]);
    const Real* y = steps_.data() + order[rank] * n_;
    for (int64_t i = 0; i < n_; ++i) {
      step[i] += weight * y[i];
    }
  }
  return step;
}

template <class Real>
void CmaEs<Real>::update_covariance(std::span<const int64_t> order, const std::vector<Real>& path_c, bool h) {
  const CmaConstants& k = constants_;
  const auto n = static_cast<double>(n_);
  // C <- decay C + (columns of `raise`)(...)^T - (columns of `lower`)(...)^T, each column scaled by the root
  // of its weight.
  const std::vector<Real> lengths = squared_lengths();
  std::vector<Real> raise, lower;
  raise.reserve(static_cast<std::size_t>((k.parents + 1) * n_));
  const auto append = [&](std::vector<Real>& columns, const Real* vector, double weight) {
    const auto scale = static_cast<Real>(std::sqrt(weight));
    for (int64_t i = 0; i < n_; ++i) {
      columns.push_back(scale * vector[i]);
    }
  };
  append(raise, path_c.data(), k.c_1);
  for (int64_t rank = 0; rank < lambda_; ++rank) {
    const double weight = k.weights[rank];
    const Real* y = steps_.data() + order[rank] * n_;
    if (weight > 0) {
      append(raise, y, k.c_mu * weight);
    } else if (weight < 0) {
      append(lower, y, -k.c_mu * weight * n / (static_cast<double>(lengths[order[rank]]) + kTinyLength));
    }
  }
  const double decay = 1 + (h ? 0 : k.c_1 * k.c_c * (2 - k.c_c)) - k.c_1 - k.c_mu * k.weight_sum;
  blas::rank_update(n_, static_cast<int64_t>(raise.size()) / n_, Real(1), raise.data(),
                    static_cast<Real>(decay), covariance_.data());
  if (!lower.empty()) {
    blas::rank_update(n_, static_cast<int64_t>(lower.size()) / n_, Real(-1), lower.data(), Real(1),
                      covariance_.data());
  }
}

template <class Real>
TellReport CmaEs<Real>::tell(std::span<const double> fitness) {
  check_fitness_size("CmaEs", fitness, lambda_);
  if (!asked_) {
    ask();
  }
  TellReport report;
  report.non_finite = count_non_finite(fitness);
  if (report.non_finite == lambda_ || !stop_.empty()) {
    report.updated = false;
    generation_ += stop_.empty() ? 1 : 0;
    asked_ = false;
    return report;
  }
  const CmaConstants& k = constants_;
  const std::vector<int64_t> order = rank_members(fitness);
  const auto n = static_cast<double>(n_);
  const auto generation = static_cast<double>(generation_ + 1);

  const std::vector<Real> step = parents_step(order);
  const std::vector<Real> white_step = inverse_root_times(step);

  std::vector<Real> mean = mean_, path_sigma = path_sigma_, path_c = path_c_;
  const auto keep_sigma = static_cast<Real>(1 - k.c_sigma);
  const auto gain_sigma = static_cast<Real>(std::sqrt(k.c_sigma * (2 - k.c_sigma) * k.mu_eff));
  for (int64_t i = 0; i < n_; ++i) {
    mean[i] += static_cast<Real>(k.c_m) * sigma_ * step[i];
    path_sigma[i] = keep_sigma * path_sigma[i] + gain_sigma * white_step[i];
  }
  const double path_squared = static_cast<double>(squared_length(path_sigma.data(), n_));
  const double path_length = std::sqrt(path_squared);
  const double bias = 1 - std::pow(1 - k.c_sigma, 2 * generation);
  const bool h = settings_.parity ? path_length / std::sqrt(bias) < (1.4 + 2 / (n + 1)) * k.chi
                                  : path_squared / bias < (2 + 4 / (n + 1)) * n;
  const auto keep_c = static_cast<Real>(1 - k.c_c);
  const auto gain_c = static_cast<Real>(h ? std::sqrt(k.c_c * (2 - k.c_c) * k.mu_eff) : 0);
  for (int64_t i = 0; i < n_; ++i) {
    path_c[i] = keep_c * path_c[i] + gain_c * step[i];
  }
  double exponent = k.c_sigma / k.d_sigma * (path_length / k.chi - 1);
  if (!settings_.parity) {
    exponent = std::clamp(exponent, -1.0, 1.0);
  }
  const Real sigma = sigma_ * static_cast<Real>(std::exp(exponent));
  if (!all_finite(mean) || !all_finite(path_sigma) || !all_finite(path_c) || !std::isfinite(sigma) ||
      sigma <= 0) {
    stop_ = format_text("non-finite state: the update of generation {} overflows (sigma {})", generation_,
                        static_cast<double>(sigma_));
    report.updated = false;
    asked_ = false;
    return report;
  }

  update_covariance(order, path_c, h);
  mean_ = std::move(mean);
  path_sigma_ = std::move(path_sigma);
  path_c_ = std::move(path_c);
  sigma_ = sigma;
  last_h_ = h;
  mean_as_double_ = as_doubles(mean_);
  ++generation_;
  asked_ = false;
  return report;
}

template <class Real>
OptimizerState CmaEs<Real>::state() const {
  OptimizerState state{kind(), {}};
  NamedArrays& arrays = state.arrays;
  arrays.push_back(scalar_array("parity", int64_t{settings_.parity}));
  arrays.push_back(scalar_array("float32", int64_t{std::is_same_v<Real, float>}));
  arrays.push_back(scalar_array("population", lambda_));
  arrays.push_back(scalar_array("generation", generation_));
  arrays.push_back(scalar_array("seed", static_cast<int64_t>(seed_)));
  arrays.push_back(scalar_array("sigma", static_cast<double>(sigma_)));
  arrays.push_back(scalar_array("sigma_0", settings_.sigma));
  arrays.push_back(scalar_array("elite_ratio", settings_.elite_ratio));
  arrays.push_back(vector_array("mean", as_doubles(mean_)));
  arrays.push_back(vector_array("path_sigma", as_doubles(path_sigma_)));
  arrays.push_back(vector_array("path_c", as_doubles(path_c_)));
  std::vector<double> packed;
  packed.reserve(static_cast<std::size_t>(n_ * (n_ + 1) / 2));
  for (int64_t column = 0; column < n_; ++column) {
    const Real* start = covariance_.data() + column * n_;
    packed.insert(packed.end(), start + column, start + n_);
  }
  arrays.push_back(vector_array("covariance_lower", std::move(packed)));
  arrays.push_back(scalar_array("smallest_eigenvalue", static_cast<double>(smallest_eigenvalue_)));
  arrays.push_back(scalar_array("eigen_repairs", eigen_repairs_));
  arrays.push_back(scalar_array("eigen_generation", eigen_generation_));
  // An eigensystem that the next ask replaces need not be kept.
  if (has_eigensystem_ && !decomposition_due()) {
    arrays.push_back(vector_array("roots", as_doubles(roots_)));
    arrays.push_back({"eigenvectors", {n_, n_}, as_doubles(eigenvectors_)});
  }
  return state;
}

template <class Real>
void CmaEs<Real>::restore(const OptimizerState& state) {
  const NamedArrays& arrays = state.arrays;
  if (state.kind != kind() || integer_of(arrays, "parity") != int64_t{settings_.parity} ||
      integer_of(arrays, "float32") != int64_t{std::is_same_v<Real, float>}) {
    throw DataError(
        format_text("saved state is of optimiser \"{}\"{}, expected \"{}\"{}", state.kind,
                    has_array(arrays, "parity") && integer_of(arrays, "parity") != 0 ? " (parity)" : "",
                    kind(), settings_.parity ? " (parity)" : ""));
  }
  check_saved_size(arrays, n_, lambda_);
  // Read and check all of it before anything of this object changes.
  const auto generation = integer_of(arrays, "generation");
  const auto eigen_generation = integer_of(arrays, "eigen_generation");
  const double sigma = double_of(arrays, "sigma"), sigma_0 = double_of(arrays, "sigma_0");
  const double elite_ratio = double_of(arrays, "elite_ratio");
  const auto& mean = doubles_of(arrays, "mean", n_);
  const auto& path_sigma = doubles_of(arrays, "path_sigma", n_);
  const auto& path_c = doubles_of(arrays, "path_c", n_);
  const auto& packed = doubles_of(arrays, "covariance_lower", n_ * (n_ + 1) / 2);
  const double smallest = double_of(arrays, "smallest_eigenvalue");
  const auto repairs = integer_of(arrays, "eigen_repairs");
  const auto seed = integer_of(arrays, "seed");
  const bool with_eigensystem = has_array(arrays, "eigenvectors");
  if (generation < 0 || eigen_generation < 0 || eigen_generation > generation || !(sigma > 0) ||
      !(sigma_0 > 0) || !(elite_ratio > 0 && elite_ratio <= 0.5)) {
    throw DataError("saved state of cma-es: generation, sigma or elite_ratio is out of range");
  }
  std::vector<Real> roots, eigenvectors;
  if (with_eigensystem) {
    roots = as_reals<Real>(doubles_of(arrays, "roots", n_));
    eigenvectors = as_reals<Real>(doubles_of(arrays, "eigenvectors", n_ * n_));
  }

  generation_ = generation;
  seed_ = static_cast<uint64_t>(seed);
  sigma_ = static_cast<Real>(sigma);
  settings_.sigma = sigma_0;
  if (settings_.elite_ratio != elite_ratio) {
    settings_.elite_ratio = elite_ratio;
    constants_ = cma_constants(n_, lambda_, elite_ratio, settings_.parity);
  }
  mean_ = as_reals<Real>(mean);
  path_sigma_ = as_reals<Real>(path_sigma);
  path_c_ = as_reals<Real>(path_c);
  const double* next = packed.data();
  for (int64_t column = 0; column < n_; ++column) {
    Real* start = covariance_.data() + column * n_;
    std::copy(next, next + (n_ - column), start + column);
    next += n_ - column;
  }
  smallest_eigenvalue_ = static_cast<Real>(smallest);
  eigen_repairs_ = repairs;
  eigen_generation_ = eigen_generation;
  has_eigensystem_ = with_eigensystem;
  roots_ = std::move(roots);
  eigenvectors_ = std::move(eigenvectors);
  mean_as_double_ = as_doubles(mean_);
  asked_ = false;
  lengths_.clear();
  stop_.clear();
}

template <class Real>
std::optional<std::string> CmaEs<Real>::stop() const {
  return stop_.empty() ? std::nullopt : std::optional(stop_);
}

template <class Real>
std::optional<std::string> CmaEs<Real>::alarm() const {
  return sigma_alarm(static_cast<double>(sigma_), settings_.sigma);
}

template <class Real>
SearchDistribution CmaEs<Real>::distribution(int64_t axis) const {
  SearchDistribution distribution;
  const double step = static_cast<double>(sigma_);
  const int64_t column = axis % n_;
  for (int64_t i = 0; i < n_; ++i) {
    distribution.deviations.push_back(step *
                                      std::sqrt(std::max(0.0, static_cast<double>(covariance_[i * n_ + i]))));
    distribution.path.push_back(step * static_cast<double>(path_c_[i]));
    if (has_eigensystem_) {
      distribution.axis.push_back(step *
                                  static_cast<double>(roots_[column] * eigenvectors_[column * n_ + i]));
    } else {
      distribution.axis.push_back(i == column ? step : 0);
    }
  }
  if (has_eigensystem_) {
    const double ratio = static_cast<double>(roots_.back()) / static_cast<double>(roots_.front());
    distribution.condition = ratio * ratio;
  }
  return distribution;
}

template <class Real>
std::vector<double> CmaEs<Real>::covariance() const {
  std::vector<double> full(covariance_.size());
  for (int64_t column = 0; column < n_; ++column) {
    for (int64_t row = column; row < n_; ++row) {
      full[column * n_ + row] = full[row * n_ + column] = static_cast<double>(covariance_[column * n_ + row]);
    }
  }
  return full;
}

template <class Real>
std::vector<double> CmaEs<Real>::roots() const {
  return has_eigensystem_ ? as_doubles(roots_) : std::vector<double>(static_cast<std::size_t>(n_), 1.0);
}

template <class Real>
std::vector<double> CmaEs<Real>::steps() const {
  return as_doubles(steps_);
}

template <class Real>
std::vector<double> CmaEs<Real>::path_sigma() const {
  return as_doubles(path_sigma_);
}

template <class Real>
std::vector<double> CmaEs<Real>::path_c() const {
  return as_doubles(path_c_);
}

template class CmaEs<double>;
template class CmaEs<float>;

}  // namespace namm::evolution
