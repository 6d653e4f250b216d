#include "evolution/optimizers/cr_fm_nes.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/errors.h"
#include "core/random.h"
#include "core/text.h"
#include "evolution/optimizers/support.h"

namespace namm::evolution {
namespace {

double dot(const double* a, const double* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    sum += a[i] * b[i];
  }
  return sum;
}

double length(const std::vector<double>& values) {
  return std::sqrt(dot(values.data(), values.data(), static_cast<int64_t>(values.size())));
}

/// The root h of (1 + h^2) exp(h^2 / 2) / 0.24 = 10 + n. Bisection, because Newton steps overflow for large
/// n; 64 halvings reach the last bit.
double distance_factor(double n) {
  double low = 0, high = 1;
  const auto value = [](double h) { return (1 + h * h) * std::exp(h * h / 2) / 0.24; };
  while (value(high) < 10 + n) {
    high *= 2;
  }
  for (int step = 0; step < 64; ++step) {
    const double middle = (low + high) / 2;
    (value(middle) < 10 + n ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace

CrFmNesConstants cr_fm_nes_constants(int64_t dimension, int64_t population) {
  CrFmNesConstants constants;
  const auto n = static_cast<double>(dimension);
  const auto lambda = static_cast<double>(population);
  double sum = 0;
  for (int64_t i = 1; i <= population; ++i) {
    constants.raw_weights.push_back(
        std::max(0.0, std::log(lambda / 2 + 1) - std::log(static_cast<double>(i))));
    sum += constants.raw_weights.back();
  }
  double squares = 0;
  for (const double raw : constants.raw_weights) {
    constants.weights.push_back(raw / sum - 1 / lambda);
    squares += (raw / sum) * (raw / sum);
  }
  const double mu_eff = 1 / squares;
  constants.mu_eff = mu_eff;
  constants.c_sigma = (mu_eff + 2) / (n + mu_eff + 5);
  constants.c_c = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n);
  constants.c_1 = std::max(0.0, 2 / ((n + 1.3) * (n + 1.3) + mu_eff) * (n - 5) / 6);
  constants.eta_b = std::tanh((std::min(0.02 * lambda, 3 * std::log(n)) + 5) / (0.23 * n + 25));
  constants.eta_stagnating = std::tanh((0.024 * lambda + 0.7 * n + 20) / (n + 12));
  constants.eta_converging = 2 * std::tanh((0.025 * lambda + 0.75 * n + 10) / (n + 4));
  constants.alpha = distance_factor(n) * std::min(1.0, std::sqrt(lambda / n));
  constants.chi = std::sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n));
  return constants;
}

CrFmNes::CrFmNes(int64_t population, double sigma, std::span<const double> mean, uint64_t seed)
    : LinearOptimizer(population, sigma, mean, seed),
      constants_(cr_fm_nes_constants(n_, population)),
      path_sigma_(mean.size()),
      path_c_(mean.size()),
      v_(mean.size()),
      d_(mean.size(), 1.0) {
  RandomStream stream({.seed = seed, .purpose = "cr-fm-nes/v"});
  for (double& value : v_) {
    value = stream.normal() / std::sqrt(static_cast<double>(n_));
  }
}

std::vector<double> CrFmNes::ask() {
  const int64_t half = lambda_ / 2;
  draws_.resize(static_cast<std::size_t>(lambda_ * n_));
  for (int64_t pair = 0; pair < half; ++pair) {
    double* z = draws_.data() + pair * n_;
    draw_normals(seed_, generation_, pair, std::span(z, static_cast<std::size_t>(n_)));
    std::transform(z, z + n_, draws_.data() + (half + pair) * n_, [](double value) { return -value; });
  }
  const double norm = length(v_);
  const double stretch = std::sqrt(1 + norm * norm) - 1;
  steps_.resize(draws_.size());
  std::vector<double> x(draws_.size());
  for (int64_t member = 0; member < lambda_; ++member) {
    const double* z = draws_.data() + member * n_;
    // A vector v of length zero stretches nothing.
    const double along = norm > 0 ? stretch * dot(z, v_.data(), n_) / (norm * norm) : 0;
    for (int64_t i = 0; i < n_; ++i) {
      const double y = z[i] + along * v_[i];
      steps_[member * n_ + i] = y;
      x[member * n_ + i] = mean_[i] + sigma_ * d_[i] * y;
    }
  }
  asked_ = true;
  return x;
}

/// The natural gradient at one y: `s` for D and `t` for v (steps 4 of evolution 2).
void CrFmNes::gradient(const double* y, std::vector<double>& s, std::vector<double>& t) const {
  const double norm = length(v_), v2 = norm * norm, v4 = v2 * v2, gamma = 1 + v2;
  double largest = 0, q = 0;
  for (int64_t i = 0; i < n_; ++i) {
    const double unit = v_[i] / norm;
    largest = std::max(largest, unit * unit);
    q += y[i] * unit;
  }
  const double a = std::min(1.0, std::sqrt(v4 + (2 * gamma - std::sqrt(gamma)) / largest) / (2 + v2));
  const double b = -(1 - a * a) * v4 / gamma + 2 * a * a;

  double unit_t = 0;
  for (int64_t i = 0; i < n_; ++i) {
    const double unit = v_[i] / norm;
    t[i] = q * y[i] - unit * (q * q + gamma) / 2;
    unit_t += unit * t[i];
  }
  double share_s = 0, share_v = 0;  // (V/H) . s2 and V . (V/H)
  for (int64_t i = 0; i < n_; ++i) {
    const double unit = v_[i] / norm, square = unit * unit;
    const double s1 = y[i] * y[i] - v2 / gamma * q * (y[i] * unit) - 1;
    s[i] = s1 - a / gamma * ((2 + v2) * t[i] * unit - v2 * unit_t * square);
    const double h = 2 - (b + 2 * a * a) * square;
    share_s += square / h * s[i];
    share_v += square * (square / h);
  }
  double square_s = 0;  // V . s
  for (int64_t i = 0; i < n_; ++i) {
    const double unit = v_[i] / norm, square = unit * unit;
    const double h = 2 - (b + 2 * a * a) * square;
    s[i] = s[i] / h - b / (1 + b * share_v) * share_s * (square / h);
    square_s += square * s[i];
  }
  for (int64_t i = 0; i < n_; ++i) {
    const double unit = v_[i] / norm;
    t[i] -= a * ((2 + v2) * s[i] * unit - square_s * unit);
  }
}

std::vector<double> CrFmNes::next_path_sigma(std::span<const int64_t> order) const {
  const CrFmNesConstants& k = constants_;
  std::vector<double> path(static_cast<std::size_t>(n_));
  for (int64_t rank = 0; rank < lambda_; ++rank) {
    const double* z = draws_.data() + order[rank] * n_;
    for (int64_t i = 0; i < n_; ++i) {
      path[i] += k.weights[rank] * z[i];
    }
  }
  const double gain = std::sqrt(k.c_sigma * (2 - k.c_sigma) * k.mu_eff);
  for (int64_t i = 0; i < n_; ++i) {
    path[i] = (1 - k.c_sigma) * path_sigma_[i] + gain * path[i];
  }
  return path;
}

/// Weights that favour distant members, for a distribution that moves.
std::vector<double> CrFmNes::distance_weights(std::span<const int64_t> order) const {
  const CrFmNesConstants& k = constants_;
  std::vector<double> weights(static_cast<std::size_t>(lambda_));
  double sum = 0;
  for (int64_t rank = 0; rank < lambda_; ++rank) {
    const double* z = draws_.data() + order[rank] * n_;
    weights[rank] = k.raw_weights[rank] * std::exp(k.alpha * std::sqrt(dot(z, z, n_)));
    sum += weights[rank];
  }
  for (double& weight : weights) {
    weight = weight / sum - 1 / static_cast<double>(lambda_);
  }
  return weights;
}

/// v and D after the natural gradient of the weighted members and of p_c, with determinant 1 again; nothing
/// where an entry of D would not be positive.
std::optional<CrFmNes::Shape> CrFmNes::next_shape(std::span<const int64_t> order,
                                                  std::span<const double> weights,
                                                  const std::vector<double>& path_c) const {
  const CrFmNesConstants& k = constants_;
  std::vector<double> s(static_cast<std::size_t>(n_)), t(s), s_sum(s), t_sum(s), evolved(s);
  const auto accumulate = [&](const double* y, double coefficient) {
    gradient(y, s, t);
    for (int64_t i = 0; i < n_; ++i) {
      s_sum[i] += coefficient * s[i];
      t_sum[i] += coefficient * t[i];
    }
  };
  for (int64_t rank = 0; rank < lambda_; ++rank) {
    accumulate(steps_.data() + order[rank] * n_, k.eta_b * weights[rank]);
  }
  std::transform(path_c.begin(), path_c.end(), d_.begin(), evolved.begin(), std::divides<>());
  accumulate(evolved.data(), k.c_1);

  const double norm = length(v_);
  Shape next{v_, d_};
  for (int64_t i = 0; i < n_; ++i) {
    next.v[i] += t_sum[i] / norm;
    next.d[i] += d_[i] * s_sum[i];
  }
  if (!std::all_of(next.d.begin(), next.d.end(), [](double value) { return value > 0; })) {
    return std::nullopt;
  }
  const auto n = static_cast<double>(n_);
  double logarithms = 0;
  for (const double value : next.d) {
    logarithms += std::log(value);
  }
  const double new_norm = length(next.v);
  const double root = std::exp(logarithms / n + std::log(1 + new_norm * new_norm) / (2 * n));
  for (double& value : next.d) {
    value /= root;
  }
  return next;
}

bool CrFmNes::update(std::span<const int64_t> order) {
  const CrFmNesConstants& k = constants_;
  const auto n = static_cast<double>(n_);
  std::vector<double> path_sigma = next_path_sigma(order);
  const double path_length = length(path_sigma);
  const bool moving = path_length >= k.chi;
  const std::vector<double> weights = moving ? distance_weights(order) : k.weights;
  const double eta_sigma = moving ? 1 : path_length >= 0.1 * k.chi ? k.eta_stagnating : k.eta_converging;

  std::vector<double> step(static_cast<std::size_t>(n_));
  for (int64_t rank = 0; rank < lambda_; ++rank) {
    const double* y = steps_.data() + order[rank] * n_;
    for (int64_t i = 0; i < n_; ++i) {
      step[i] += weights[rank] * (d_[i] * y[i]);
    }
  }
  std::vector<double> mean = mean_, path_c(static_cast<std::size_t>(n_));
  const double gain_c = std::sqrt(k.c_c * (2 - k.c_c) * k.mu_eff);
  for (int64_t i = 0; i < n_; ++i) {
    path_c[i] = (1 - k.c_c) * path_c_[i] + gain_c * step[i];
    mean[i] += sigma_ * step[i];
  }
  std::optional<Shape> shape = next_shape(order, weights, path_c);
  if (!shape) {
    stop_ = format_text("non-positive scale: the update of generation {} makes an entry of D negative",
                        generation_);
    return false;
  }
  double spread = 0;
  for (int64_t rank = 0; rank < lambda_; ++rank) {
    const double* z = draws_.data() + order[rank] * n_;
    spread += weights[rank] * (dot(z, z, n_) - n) / n;
  }
  const double sigma = sigma_ * std::exp(eta_sigma / 2 * spread);
  if (!all_finite(mean) || !all_finite(path_sigma) || !all_finite(path_c) || !all_finite(shape->v) ||
      !all_finite(shape->d) || !std::isfinite(sigma) || sigma <= 0 || !(length(shape->v) > 0)) {
    return overflow();
  }
  mean_ = std::move(mean);
  path_sigma_ = std::move(path_sigma);
  path_c_ = std::move(path_c);
  v_ = std::move(shape->v);
  d_ = std::move(shape->d);
  sigma_ = sigma;
  return true;
}

NamedArrays CrFmNes::own_arrays() const {
  return {vector_array("path_sigma", path_sigma_), vector_array("path_c", path_c_), vector_array("v", v_),
          vector_array("d", d_)};
}

void CrFmNes::restore_own(const NamedArrays& arrays, int64_t) {
  const auto& path_sigma = doubles_of(arrays, "path_sigma", n_);
  const auto& path_c = doubles_of(arrays, "path_c", n_);
  const auto& v = doubles_of(arrays, "v", n_);
  const auto& d = doubles_of(arrays, "d", n_);
  const bool positive = std::all_of(d.begin(), d.end(), [](double value) { return value > 0; });
  if (!positive || !(length(v) > 0)) {
    throw DataError("saved state of cr-fm-nes: v or d is out of range");
  }
  path_sigma_ = path_sigma;
  path_c_ = path_c;
  v_ = v;
  d_ = d;
}

SearchDistribution CrFmNes::distribution(int64_t) const {
  SearchDistribution distribution;
  for (int64_t i = 0; i < n_; ++i) {
    distribution.deviations.push_back(sigma_ * d_[i] * std::sqrt(1 + v_[i] * v_[i]));
    distribution.path.push_back(sigma_ * path_c_[i]);
  }
  const auto [smallest, largest] = std::minmax_element(d_.begin(), d_.end());
  distribution.condition = *largest / *smallest * (*largest / *smallest);
  return distribution;
}

}  // namespace namm::evolution
