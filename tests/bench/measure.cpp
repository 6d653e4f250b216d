#include "tests/bench/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>

namespace namm::bench {

double median(std::vector<double> values) {
  if (values.empty()) throw std::invalid_argument("the median of no value");
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double fitted_exponent(const std::vector<double>& x, const std::vector<double>& y) {
  if (x.size() != y.size() || x.size() < 2) throw std::invalid_argument("a fit needs two or more points");
  const auto n = static_cast<double>(x.size());
  double mean_x = 0, mean_y = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!(x[i] > 0) || !(y[i] > 0)) throw std::invalid_argument("a fit of logarithms needs positive values");
    mean_x += std::log(x[i]) / n;
    mean_y += std::log(y[i]) / n;
  }
  double covariance = 0, variance = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double dx = std::log(x[i]) - mean_x;
    covariance += dx * (std::log(y[i]) - mean_y);
    variance += dx * dx;
  }
  if (variance == 0) throw std::invalid_argument("a fit needs two different x");
  return covariance / variance;
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int Repeats::rounds(double round_seconds) const {
  if (round_seconds <= 0) return most;
  const double fit = std::floor(budget_seconds / round_seconds);
  return std::min(most, std::max(std::min(least, most), static_cast<int>(std::min(fit, 1e6))));
}

Timings time_in_turn(const std::vector<Timed>& programs, const Repeats& repeats) {
  Timings timings;
  std::vector<std::vector<double>> seconds(programs.size());
  const double warm_up = seconds_of([&] {
    for (const Timed& program : programs) program();
  });
  timings.rounds = repeats.rounds(warm_up);
  for (int round = 0; round < timings.rounds; ++round) {
    for (size_t p = 0; p < programs.size(); ++p) seconds[p].push_back(programs[p]());
  }
  for (auto& values : seconds) timings.medians.push_back(median(std::move(values)));
  return timings;
}

}  // namespace namm::bench
