#include "experiments/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace namm::experiments {

namespace {

constexpr double kUpperTail = 0.975;

/// Continued fraction of the regularised incomplete beta function (modified Lentz's method).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  constexpr int kMostTerms = 500;
  double c = 1;
  double d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double value = d;
  for (int m = 1; m <= kMostTerms; ++m) {
    for (const double numerator : {m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                                   -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))}) {
      d = 1 + numerator * d;
      d = 1 / (std::abs(d) < kTiny ? kTiny : d);
      c = 1 + numerator / c;
      c = std::abs(c) < kTiny ? kTiny : c;
      value *= d * c;
    }
    if (std::abs(d * c - 1) < 1e-15) break;
  }
  return value;
}

double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double student_t_distribution(double t, double degrees) {
  const double tail = 0.5 * incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t));
  return t > 0 ? 1 - tail : tail;
}

double mean_of(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

/// Squared standard error of the mean.
double squared_error(std::span<const double> values, double mean) {
  const auto n = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return sum / (n - 1) / n;
}

/// Whether the observations say how far off their mean may be: two at least that differ by more than
/// rounding.
bool has_spread(std::span<const double> values) {
  constexpr double kRounding = 1e-12;
  if (values.empty()) return false;
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return *most - *least > kRounding * std::max({1.0, std::abs(*least), std::abs(*most)});
}

Estimate with_interval(double mean, double squared, double degrees, int64_t n) {
  const double half = student_t_quantile(kUpperTail, degrees) * std::sqrt(squared);
  return {mean, mean - half, mean + half, n};
}

}  // namespace

double student_t_quantile(double p, double degrees) {
  if (!(p > 0 && p < 1) || !(degrees > 0))
    throw std::invalid_argument("student_t_quantile: p in (0, 1), degrees > 0");
  if (p == 0.5) return 0;
  if (p < 0.5) return -student_t_quantile(1 - p, degrees);
  double low = 0;
  double high = 1;
  while (student_t_distribution(high, degrees) < p && high < 1e12) high *= 2;
  for (int i = 0; i < 200 && high - low > 1e-13 * high; ++i) {
    const double middle = (low + high) / 2;
    (student_t_distribution(middle, degrees) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

Estimate estimate_mean(std::span<const double> observations) {
  const auto n = static_cast<int64_t>(observations.size());
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  if (n == 0) return {kUnknown, kUnknown, kUnknown, 0};
  const double mean = mean_of(observations);
  if (!has_spread(observations)) return {mean, kUnknown, kUnknown, n};
  return with_interval(mean, squared_error(observations, mean), static_cast<double>(n - 1), n);
}

Estimate estimate_mean_of_groups(const std::vector<std::vector<double>>& groups,
                                 const std::vector<double>& weights) {
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  Estimate result{0, kUnknown, kUnknown, 0};
  if (groups.empty()) return {kUnknown, kUnknown, kUnknown, 0};
  double squared = 0;
  double squared_over_degrees = 0;
  bool known = true;
  for (size_t i = 0; i < groups.size(); ++i) {
    const auto& group = groups[i];
    if (group.empty()) throw std::invalid_argument("estimate_mean_of_groups: empty group");
    const double weight = weights.empty() ? 1 / static_cast<double>(groups.size()) : weights.at(i);
    const double mean = mean_of(group);
    result.mean += mean * weight;
    result.n += static_cast<int64_t>(group.size());
    if (!has_spread(group)) {
      known = false;
      continue;
    }
    const double part = squared_error(group, mean) * weight * weight;
    squared += part;
    squared_over_degrees += part * part / static_cast<double>(group.size() - 1);
  }
  if (!known) return result;
  return with_interval(result.mean, squared, squared * squared / squared_over_degrees, result.n);
}

}  // namespace namm::experiments
