#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evolution/named_array.h"

namespace namm::evolution {

/// A saved optimiser: which one (its kind, and what stands around it), and one flat list of arrays.
struct OptimizerState {
  std::string kind;
  NamedArrays arrays;
};

/// What a `tell` did.
struct TellReport {
  bool updated =
      true;  ///< false: no finite fitness at all, or the optimiser has stopped; the state is unchanged
  int64_t non_finite = 0;  ///< members whose fitness was NaN or infinite; they were ranked last
};

/// From what an optimiser draws its next members, as far as tolerances need to know.
struct SearchDistribution {
  std::vector<double> deviations;  ///< [n] standard deviation of each parameter of a member
  std::vector<double> path;        ///< [n] sigma p_c; empty where there is no such path
  std::vector<double> axis;        ///< [n] one standard deviation along a principal axis; empty where unknown
  double condition = 1;            ///< largest over smallest eigenvalue of the covariance; 1 where unknown
};

/// Vectors in, fitness out; the optimiser never sees a model. Higher fitness is better.
///
/// There is no hidden generator state: the draws of generation g and member k are a function of (seed, g, k),
/// so `ask` may be repeated, and an optimiser restored from `state()` continues bit for bit.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  virtual std::string kind() const = 0;

  /// n, the length of a parameter vector.
  virtual int64_t dimension() const = 0;
  /// lambda, the members of the generation that the next `ask` gives. A tell may change it (restarts).
  virtual int64_t population() const = 0;
  /// Generations told so far; the next `ask` belongs to this generation.
  virtual int64_t generation() const = 0;
  virtual double sigma() const = 0;
  /// [n], the answer; in a saved state the array "mean".
  virtual std::span<const double> mean() const = 0;

  /// X [lambda, n] row-major: the members of this generation.
  virtual std::vector<double> ask() = 0;

  /// Fitness [lambda] in member order. NaN and infinite values rank last (ties by member index). A generation
  /// without any finite value changes nothing but the generation counter. Throws std::invalid_argument on
  /// another length.
  virtual TellReport tell(std::span<const double> fitness) = 0;

  virtual OptimizerState state() const = 0;
  /// Throws DataError when the state is of another kind, size or population.
  virtual void restore(const OptimizerState& state) = 0;

  /// The reason to end, by name ("non-finite state: ..."), or nothing. A budget is the caller's business:
  /// noisy runs end by generations, not by tolerances.
  virtual std::optional<std::string> stop() const = 0;

  /// A text when the step size has left [sigma_0 / 1000, 1000 sigma_0]; the run goes on.
  virtual std::optional<std::string> alarm() const = 0;

  /// `axis`: any number >= 0; which principal axis to give, modulo n.
  virtual SearchDistribution distribution(int64_t axis) const = 0;

  /// Multiplies the step size by a finite factor > 0, for what treats noise from outside.
  virtual void scale_sigma(double factor) = 0;
};

/// Member indices from best to worst: finite fitness descending, ties by member index, then all non-finite
/// ones by member index.
std::vector<int64_t> rank_members(std::span<const double> fitness);

}  // namespace namm::evolution
