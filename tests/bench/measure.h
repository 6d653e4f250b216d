#pragma once

#include <functional>
#include <vector>

namespace namm::bench {

/// The middle value; of an even number the mean of the middle two. At least one value.
double median(std::vector<double> values);

/// Slope of the least squares line of log y over log x: the p of y ~ x^p. Two or more points, all positive.
double fitted_exponent(const std::vector<double>& x, const std::vector<double>& y);

/// Wall time of `work`, seconds.
double seconds_of(const std::function<void()>& work);

/// How often a measurement is repeated: `most` times where a round is short, fewer where the rounds together
/// would take more than `budget_seconds`, never fewer than `least`.
struct Repeats {
  int most = 20;
  int least = 3;
  double budget_seconds = 60;

  /// Rounds that fit, one taking `round_seconds`.
  int rounds(double round_seconds) const;
};

/// Runs once and returns the seconds of the part that counts: what it must prepare first does not.
using Timed = std::function<double()>;

/// Medians of programs that ran in turn, [programs] seconds, so that what disturbs the machine meets all.
struct Timings {
  std::vector<double> medians;
  int rounds = 0;
};
/// One round warms up and is not counted.
Timings time_in_turn(const std::vector<Timed>& programs, const Repeats& repeats);

}  // namespace namm::bench
