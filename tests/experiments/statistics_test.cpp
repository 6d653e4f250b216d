#include "experiments/statistics.h"

#include <cmath>

#include <gtest/gtest.h>

namespace namm::experiments {
namespace {

// Published tables of Student's t distribution.
TEST(StudentT, QuantilesOfTheTables) {
  EXPECT_NEAR(student_t_quantile(0.975, 1), 12.7062047362, 1e-8);
  EXPECT_NEAR(student_t_quantile(0.975, 2), 4.30265272975, 1e-9);
  EXPECT_NEAR(student_t_quantile(0.975, 31), 2.03951344640, 1e-9);
  EXPECT_NEAR(student_t_quantile(0.975, 1e7), 1.95996398, 1e-6);
  EXPECT_NEAR(student_t_quantile(0.025, 10), -2.22813885199, 1e-9);
  EXPECT_EQ(student_t_quantile(0.5, 3), 0);
  EXPECT_THROW(student_t_quantile(1, 3), std::invalid_argument);
}

TEST(Estimate, MeanAndInterval) {
  const Estimate estimate = estimate_mean(std::vector<double>{1, 2, 3, 4});
  EXPECT_EQ(estimate.mean, 2.5);
  EXPECT_EQ(estimate.n, 4);
  // s = 1.29099, s / 2 = 0.645497, t(3) = 3.18245
  EXPECT_NEAR(estimate.half_width(), 3.182446305 * 0.6454972244, 1e-8);
}

TEST(Estimate, OneObservationHasNoInterval) {
  const Estimate estimate = estimate_mean(std::vector<double>{0.5});
  EXPECT_EQ(estimate.mean, 0.5);
  EXPECT_TRUE(std::isnan(estimate.low));
  EXPECT_TRUE(std::isnan(estimate_mean(std::vector<double>{}).mean));
}

TEST(Estimate, GroupsWeighTheSameWhateverTheirSize) {
  const Estimate estimate = estimate_mean_of_groups({{0, 2}, {10, 10, 10, 10, 10, 12}});
  EXPECT_NEAR(estimate.mean, (1 + 62.0 / 6) / 2, 1e-12);
  // One group: the ordinary interval.
  const std::vector<double> values{1, 2, 3, 4};
  EXPECT_NEAR(estimate_mean_of_groups({values}).half_width(), estimate_mean(values).half_width(), 1e-9);
}

TEST(Estimate, ObservationsWithoutSpreadHaveNoInterval) {
  const Estimate estimate = estimate_mean(std::vector<double>{100, 100});
  EXPECT_EQ(estimate.mean, 100);
  EXPECT_EQ(estimate.n, 2);
  EXPECT_FALSE(estimate.has_interval());
  EXPECT_FALSE(estimate_mean(std::vector<double>{0.1 + 0.2, 0.3, 0.3}).has_interval())
      << "rounding is no spread";
  EXPECT_TRUE(estimate_mean(std::vector<double>{0.3, 0.31}).has_interval());
  // What one group does not know the mean does not know.
  EXPECT_FALSE(estimate_mean_of_groups({{1, 2, 3}, {3, 3, 3}}).has_interval());
  EXPECT_EQ(estimate_mean_of_groups({{1, 2, 3}, {3, 3, 3}}).mean, 2.5);
}

}  // namespace
}  // namespace namm::experiments
