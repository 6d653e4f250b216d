#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace namm::experiments {

/// A mean with its two-sided 95 % interval. The interval is not known (NaN) with fewer than two observations,
/// and where all are the same: a sample without spread says nothing about how far off its mean is.
struct Estimate {
  double mean = 0;
  double low = 0;
  double high = 0;
  int64_t n = 0;  ///< observations (contexts)

  double half_width() const { return (high - low) / 2; }
  bool has_interval() const { return std::isfinite(low) && std::isfinite(high); }
};

/// Quantile of Student's t distribution, p in (0, 1), any positive degrees of freedom.
double student_t_quantile(double p, double degrees);

/// Mean and t interval of independent observations.
Estimate estimate_mean(std::span<const double> observations);

/// Weighted mean over groups (tasks) of the means of independent observations; the interval combines the
/// groups' standard errors with the degrees of freedom of Welch and Satterthwaite. It is not known where that
/// of a group is not. `weights`: one a group, their sum is 1; empty: all the same. Empty groups are not
/// allowed.
Estimate estimate_mean_of_groups(const std::vector<std::vector<double>>& groups,
                                 const std::vector<double>& weights = {});

}  // namespace namm::experiments
