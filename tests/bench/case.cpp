#include "tests/bench/case.h"

#include <utility>

#include "core/errors.h"

namespace namm::bench {

Outcome run_case(const Case& one, const Settings& settings) {
  Outcome outcome;
  outcome.goal = one.goal;
  try {
    outcome.measured = one.run(settings);
  } catch (const Mismatch& mismatch) {
    outcome.mismatch = mismatch.what();
  } catch (const Skipped& skipped) {
    outcome.skipped = skipped.what();
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception& error) {
    const std::string text = error.what();
    outcome.error = text.substr(0, text.find('\n'));  // without LibTorch's stack
  }
  return outcome;
}

Measurement compare_times(const Timings& timings, std::string note) {
  const double baseline = timings.medians.at(0), ours = timings.medians.at(1);
  return {baseline / ours, baseline, ours, std::move(note)};
}

}  // namespace namm::bench
