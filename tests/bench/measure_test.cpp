#include "tests/bench/measure.h"

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "tests/bench/case.h"
#include "tests/bench/resident_set.h"

namespace namm::bench {
namespace {

TEST(Measure, MedianOfOddAndEvenNumbers) {
  EXPECT_EQ(median({3}), 3);
  EXPECT_EQ(median({9, 1, 4}), 4);
  EXPECT_EQ(median({8, 1, 100, 2}), 5);
  EXPECT_THROW(median({}), std::invalid_argument);
}

TEST(Measure, TheExponentOfAPowerIsFound) {
  const std::vector<double> x{4096, 8192, 16384, 65536};
  std::vector<double> linear, power;
  for (const double v : x) {
    linear.push_back(3e-4 * v);
    power.push_back(5 * std::pow(v, 1.7));
  }
  EXPECT_NEAR(fitted_exponent(x, linear), 1, 1e-12);
  EXPECT_NEAR(fitted_exponent(x, power), 1.7, 1e-12);
  // Least squares, not the end points: 1, 2, 8 at 1, 2, 4 has a slope of log 8 / log 4.
  EXPECT_NEAR(fitted_exponent({1, 2, 4}, {1, 2, 8}), 1.5, 1e-12);
  EXPECT_NEAR(fitted_exponent({1, 2, 4, 8}, {1, 1, 1, 8}), 0.9, 1e-12);
  EXPECT_THROW(fitted_exponent({1}, {1}), std::invalid_argument);
  EXPECT_THROW(fitted_exponent({2, 2}, {1, 3}), std::invalid_argument);
  EXPECT_THROW(fitted_exponent({1, 2}, {0, 3}), std::invalid_argument);
}

TEST(Measure, LongRoundsAreRepeatedLess) {
  const Repeats repeats{20, 3, 60};
  EXPECT_EQ(repeats.rounds(0.1), 20);
  EXPECT_EQ(repeats.rounds(10), 6);
  EXPECT_EQ(repeats.rounds(100), 3);
  EXPECT_EQ((Repeats{2, 3, 60}).rounds(100), 2);
}

TEST(Measure, ProgramsRunInTurnAfterAWarmUp) {
  std::string order;
  int calls = 0;
  const Timings timings = time_in_turn({[&] {
                                          order += 'a';
                                          return ++calls == 1 ? 1000.0 : 4.0;  // the warm-up does not count
                                        },
                                        [&] {
                                          order += 'b';
                                          return 2.0;
                                        }},
                                       {3, 3, 60});
  EXPECT_EQ(order, "abababab");
  EXPECT_EQ(timings.rounds, 3);
  EXPECT_EQ(timings.medians, (std::vector<double>{4, 2}));
  EXPECT_EQ(compare_times(timings).ratio, 2);
}

TEST(Measure, AGoalIsReachedFromItsOwnSide) {
  const Goal faster{"a", "time", 3, {}};
  EXPECT_TRUE(faster.reached(3));
  EXPECT_FALSE(faster.reached(2.9));
  const Goal flatter{"b", "exponent", 1.1, {}, true};
  EXPECT_TRUE(flatter.reached(1.05));
  EXPECT_FALSE(flatter.reached(1.2));
}

TEST(Measure, AMismatchHasNoRatioAndDoesNotPass) {
  const Outcome outcome = run_case(
      {{"a", "time", 3, {}}, true, [](const Settings&) -> Measurement { throw Mismatch("by 2"); }}, {});
  EXPECT_FALSE(outcome.measured);
  EXPECT_FALSE(outcome.passed());
  EXPECT_EQ(outcome.mismatch, "by 2");
}

TEST(Measure, WhatCannotBeMeasuredIsSkippedAndDoesNotPass) {
  const Outcome outcome = run_case(
      {{"a", "time", 3, {}}, true, [](const Settings&) -> Measurement { throw Skipped("no clock"); }}, {});
  EXPECT_FALSE(outcome.passed());
  EXPECT_EQ(outcome.skipped, "no clock");
}

TEST(Measure, AnErrorEndsItsOwnCaseOnly) {
  const Case broken{{"a", "time", 3, {}}, true, [](const Settings&) -> Measurement {
                      throw std::runtime_error("no memory\nframe #0: somewhere");
                    }};
  const Outcome outcome = run_case(broken, {});
  EXPECT_FALSE(outcome.passed());
  EXPECT_EQ(outcome.error, "no memory");
  const Case stopped{
      {"a", "time", 3, {}}, true, [](const Settings&) -> Measurement { throw Interrupted("stopped"); }};
  EXPECT_THROW(run_case(stopped, {}), Interrupted);
}

TEST(Measure, ThePeakOfResidentMemoryIsSeen) {
  constexpr int64_t kBytes = 64 << 20;
  reset_resident_peak();
  const int64_t before = resident_bytes();
  {
    const std::vector<char> block(kBytes, 1);
    EXPECT_EQ(block.back(), 1);
  }
  EXPECT_NEAR(static_cast<double>(resident_peak_bytes() - before), kBytes, 8 << 20);
  reset_resident_peak();
  EXPECT_LT(resident_peak_bytes() - before, 8 << 20);
}

}  // namespace
}  // namespace namm::bench
