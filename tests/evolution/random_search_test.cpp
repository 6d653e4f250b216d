#include "evolution/optimizers/random_search.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/evolution/support/objectives.h"

namespace namm::evolution {
namespace {

TEST(RandomSearch, TheAnswerIsTheBestMemberAndIsAskedAgain) {
  const int64_t n = 3;
  RandomSearch optimizer(6, 0.5, std::vector<double>(n, 1.0), 4);
  double before = testing::sphere(optimizer.mean());
  int improvements = 0;
  for (int generation = 0; generation < 200; ++generation) {
    const std::vector<double> x = optimizer.ask();
    EXPECT_EQ(std::vector<double>(x.begin(), x.begin() + n),
              std::vector<double>(optimizer.mean().begin(), optimizer.mean().end()));
    const std::vector<double> fitness = testing::fitness_of(testing::sphere, x, n);
    optimizer.tell(fitness);
    const double after = testing::sphere(optimizer.mean());
    EXPECT_EQ(-after, *std::max_element(fitness.begin(), fitness.end()));
    EXPECT_LE(after, before);
    improvements += after < before;
    before = after;
  }
  EXPECT_GT(improvements, 1);
  EXPECT_LT(before, 0.2);
}

/// The draws are normal around the start with the given deviation, whatever the answer.
TEST(RandomSearch, TheDistributionStays) {
  RandomSearch optimizer(11, 2.0, std::vector<double>(5, -1.0), 8);
  double sum = 0, squares = 0;
  int64_t count = 0;
  for (int generation = 0; generation < 400; ++generation) {
    const std::vector<double> x = optimizer.ask();
    for (std::size_t i = 5; i < x.size(); ++i) {
      sum += x[i];
      squares += (x[i] + 1) * (x[i] + 1);
      ++count;
    }
    optimizer.tell(testing::fitness_of(testing::sphere, x, 5));
  }
  // 20,000 draws: standard errors 0.014 and 0.04.
  EXPECT_NEAR(sum / static_cast<double>(count), -1, 0.06);
  EXPECT_NEAR(squares / static_cast<double>(count), 4, 0.16);
  EXPECT_EQ(optimizer.sigma(), 2);
}

}  // namespace
}  // namespace namm::evolution
