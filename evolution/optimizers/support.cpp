#include "evolution/optimizers/support.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "core/errors.h"
#include "core/random.h"
#include "core/text.h"

namespace namm::evolution {

void draw_normals(uint64_t seed, int64_t generation, int64_t member, std::span<double> values) {
  RandomStream stream({.seed = seed,
                       .purpose = "population",
                       .generation = static_cast<uint64_t>(generation),
                       .member = static_cast<uint64_t>(member)});
  for (double& value : values) {
    value = stream.normal();
  }
}

void check_fitness_size(const char* who, std::span<const double> fitness, int64_t population) {
  if (static_cast<int64_t>(fitness.size()) != population) {
    throw std::invalid_argument(
        format_text("{}::tell: {} fitness values for a population of {}", who, fitness.size(), population));
  }
}

int64_t count_non_finite(std::span<const double> values) {
  return std::count_if(values.begin(), values.end(), [](double value) { return !std::isfinite(value); });
}

bool all_finite(std::span<const double> values) {
  return count_non_finite(values) == 0;
}

double squared_length(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) {
    sum += value * value;
  }
  return sum;
}

void follow_path(double rate, double mu_eff, std::span<const double> step, std::span<double> path) {
  const double gain = std::sqrt(rate * (2 - rate) * mu_eff);
  for (std::size_t i = 0; i < path.size(); ++i) {
    path[i] = (1 - rate) * path[i] + gain * step[i];
  }
}

std::optional<std::string> sigma_alarm(double sigma, double sigma_0) {
  if (sigma >= sigma_0 / 1e3 && sigma <= sigma_0 * 1e3) {
    return std::nullopt;
  }
  return format_text(
      "step size {} has left the range {} to {} (a thousandth to a thousandfold of where it began)", sigma,
      sigma_0 / 1e3, sigma_0 * 1e3);
}

void check_saved_size(const NamedArrays& arrays, int64_t dimension, int64_t population) {
  const auto saved_population = integer_of(arrays, "population");
  const auto saved_dimension = static_cast<int64_t>(doubles_of(arrays, "mean").size());
  if (saved_population != population || saved_dimension != dimension) {
    throw DataError(
        format_text("saved optimiser state has {} parameters and a population of {}, expected {} and {}",
                    saved_dimension, saved_population, dimension, population));
  }
}

}  // namespace namm::evolution
