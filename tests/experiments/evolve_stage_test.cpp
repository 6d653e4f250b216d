#include "experiments/evolve_stage.h"

#include <limits>

#include <gtest/gtest.h>

namespace namm::experiments {
namespace {

TEST(BestShift, NanNeverWins) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(best_shift({-0.1, 0, 0.1}, {kNan, 0.5, 0.7}), 0.1);
  EXPECT_EQ(best_shift({-0.1, 0, 0.1}, {0.7, kNan, 0.7}), -0.1);
  EXPECT_EQ(best_shift({-0.1, 0.1}, {kNan, -std::numeric_limits<double>::infinity()}), 0);
}

}  // namespace
}  // namespace namm::experiments
