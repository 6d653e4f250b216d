#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/bench/measure.h"

namespace namm::bench {

/// What a case is expected to reach.
struct Goal {
  std::string name;
  std::string unit;             ///< what the ratio counts
  double target = 0;            ///< ratio to reach
  std::optional<double> floor;  ///< ratio that the arithmetic allows, where it is known
  bool lower_is_better = false;

  bool reached(double ratio) const { return lower_is_better ? ratio <= target : ratio >= target; }
};

/// What a case measured. Its results were compared with the baseline's before.
struct Measurement {
  double ratio = 0;  ///< baseline / ours
  std::optional<double> baseline_seconds;
  std::optional<double> seconds;
  std::string note;  ///< what else was measured, for people
};

/// Two programs that should agree do not: no time is taken.
struct Mismatch : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A case cannot be measured on this machine.
struct Skipped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Settings {
  Repeats repeats;
  uint64_t seed = 1;  ///< of all random data
};

struct Case {
  Goal goal;
  bool quick = false;  ///< part of `--quick`
  std::function<Measurement(const Settings&)> run;
};

/// A case that was run, skipped or that failed.
struct Outcome {
  Goal goal;
  std::optional<Measurement> measured;
  std::string skipped;   ///< why it was not run; empty: it was
  std::string mismatch;  ///< how the results differ; empty: they agree
  std::string error;     ///< what ended it; empty: it came to its end

  bool passed() const { return measured && goal.reached(measured->ratio); }
};

/// Runs one case; what it throws becomes part of the outcome, so that other cases' figures are not lost.
Outcome run_case(const Case& one, const Settings& settings);

/// Ratio of two timed programs, the baseline first.
Measurement compare_times(const Timings& timings, std::string note = {});

}  // namespace namm::bench
