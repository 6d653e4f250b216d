#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace namm::experiments {

/// A mean with its two-sided 95 % interval. With fewer than two observations the interval is not known (NaN).
struct Estimate {
  double mean = 0;
  double low = 0;
  double high = 0;
  int64_t n = 0;  ///< observations (contexts)

  double half_width() const { return (high - low) / 2; }
};

/// Quantile of Student's t distribution, p in (0, 1), any positive degrees of freedom.
double student_t_quantile(double p, double degrees);

/// Mean and t interval of independent observations.
Estimate estimate_mean(std::span<const double> observations);

/// Mean of a - b over pairs and its t interval. Throws std::invalid_argument when the lengths differ.
Estimate estimate_difference(std::span<const double> a, std::span<const double> b);

/// Unweighted mean over groups (tasks) of the means of independent observations; the interval combines the
/// groups' standard errors with the degrees of freedom of Welch and Satterthwaite. Empty groups are not
/// allowed.
Estimate estimate_mean_of_groups(const std::vector<std::vector<double>>& groups);

}  // namespace namm::experiments
