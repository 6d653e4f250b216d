#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/random.h"
#include "evolution/optimizer.h"

namespace namm::testing {

/// A function to minimise.
using Objective = std::function<double(std::span<const double>)>;

inline double sphere(std::span<const double> x) {
  double sum = 0;
  for (const double value : x) {
    sum += value * value;
  }
  return sum;
}

/// Condition number 1e6.
inline double ellipsoid(std::span<const double> x) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    sum += std::pow(10, 6.0 * static_cast<double>(i) / static_cast<double>(x.size() - 1)) * x[i] * x[i];
  }
  return sum;
}

/// One long axis, condition number 1e6.
inline double cigar(std::span<const double> x) {
  return x[0] * x[0] + 1e6 * sphere(x.subspan(1));
}

/// One short axis, condition number 1e6.
inline double discus(std::span<const double> x) {
  return 1e6 * x[0] * x[0] + sphere(x.subspan(1));
}

inline double different_powers(std::span<const double> x) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    sum += std::pow(std::abs(x[i]), 2 + 4 * static_cast<double>(i) / static_cast<double>(x.size() - 1));
  }
  return sum;
}

inline double rosenbrock(std::span<const double> x) {
  double sum = 0;
  for (std::size_t i = 0; i + 1 < x.size(); ++i) {
    sum += 100 * std::pow(x[i] * x[i] - x[i + 1], 2) + std::pow(x[i] - 1, 2);
  }
  return sum;
}

/// Orthonormal [n, n] by Gram-Schmidt on normal draws.
inline std::vector<double> rotation(int64_t n, uint64_t seed) {
  RandomStream stream({.seed = seed, .purpose = "rotation"});
  std::vector<double> rows(static_cast<std::size_t>(n * n));
  for (int64_t r = 0; r < n; ++r) {
    double* row = rows.data() + r * n;
    for (int64_t i = 0; i < n; ++i) {
      row[i] = stream.normal();
    }
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t other = 0; other < r; ++other) {
        double dot = 0;
        for (int64_t i = 0; i < n; ++i) {
          dot += row[i] * rows[other * n + i];
        }
        for (int64_t i = 0; i < n; ++i) {
          row[i] -= dot * rows[other * n + i];
        }
      }
    }
    const double length = std::sqrt(sphere(std::span(row, static_cast<std::size_t>(n))));
    for (int64_t i = 0; i < n; ++i) {
      row[i] /= length;
    }
  }
  return rows;
}

inline Objective rotated(Objective objective, std::vector<double> matrix) {
  return [objective = std::move(objective), matrix = std::move(matrix)](std::span<const double> x) {
    const std::size_t n = x.size();
    std::vector<double> y(n);
    for (std::size_t r = 0; r < n; ++r) {
      for (std::size_t i = 0; i < n; ++i) {
        y[r] += matrix[r * n + i] * x[i];
      }
    }
    return objective(y);
  };
}

/// Fitness of each row of X: the objective with its sign turned.
inline std::vector<double> fitness_of(const Objective& objective, const std::vector<double>& x, int64_t n) {
  std::vector<double> fitness;
  for (std::size_t row = 0; row < x.size(); row += static_cast<std::size_t>(n)) {
    fitness.push_back(-objective(std::span(x).subspan(row, static_cast<std::size_t>(n))));
  }
  return fitness;
}

/// Evaluations until a member is at `target` or below; -1 when `budget` evaluations do not get there.
inline int64_t evaluations_to(evolution::Optimizer& optimizer, const Objective& objective, double target,
                              int64_t budget) {
  for (int64_t evaluations = 0; evaluations < budget && !optimizer.stop();) {
    const std::vector<double> fitness = fitness_of(objective, optimizer.ask(), optimizer.dimension());
    for (const double value : fitness) {
      ++evaluations;
      if (-value <= target) {
        return evaluations;
      }
    }
    optimizer.tell(fitness);
  }
  return -1;
}

}  // namespace namm::testing
