#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "memory/normalisation.h"
#include "memory/recency_embedding.h"
#include "tests/support/tolerances.h"

namespace namm::memory {
namespace {

// namm-semantics, appendix A.2.
TEST(RecencyEmbedding, AppendixVectors) {
  const std::vector<double> expected[] = {
      {0.84147098, 0.06682420, 0.00447212, 0.00029907, 0.54030231, 0.99776477, 0.99999000, 0.99999996},
      {0.88177040, 0.37545682, 0.75544379, 0.15223046, -0.47167887, -0.92683989, -0.65521346, 0.98834502}};
  const at::Tensor embedding = recency_embedding(at::tensor({1, 511}, at::kLong), {});
  for (int64_t i = 0; i < 2; ++i) {
    for (int64_t k = 0; k < 8; ++k) {
      EXPECT_NEAR(embedding[i][k].item<double>(), expected[i][static_cast<size_t>(k)],
                  tolerances::appendix::recency);
    }
  }
}

TEST(RecencyEmbedding, KnowsAnyAgeAndDimension) {
  const at::Tensor ages = at::tensor({0, 32769, 50'000'000}, at::kLong);
  const RecencyConfig config{.dimension = 4, .max_frequency = 100};
  const at::Tensor embedding = recency_embedding(ages, config);
  ASSERT_EQ(embedding.sizes(), (std::vector<int64_t>{3, 4}));
  const double age = 50'000'000;
  EXPECT_FLOAT_EQ(embedding[2][0].item<float>(), static_cast<float>(std::sin(age)));
  EXPECT_FLOAT_EQ(embedding[2][1].item<float>(), static_cast<float>(std::sin(age * 0.1)));
  EXPECT_FLOAT_EQ(embedding[2][3].item<float>(), static_cast<float>(std::cos(age * 0.1)));
  EXPECT_FLOAT_EQ(embedding[0][2].item<float>(), 1);
  EXPECT_EQ(recency_embedding(at::zeros({0}, at::kLong), {}).sizes(), (std::vector<int64_t>{0, 8}));
  EXPECT_THROW(recency_embedding(at::zeros({2}), {}), c10::Error);
}

TEST(RecencyConfig, RefusesAnOddDimension) {
  EXPECT_THROW(read_config<RecencyConfig>(ConfigDocument::from_text("dimension: 7", "test.yaml")),
               ConfigError);
}

TEST(FeatureStatistics, PartsMergeToTheWhole) {
  at::manual_seed(5);
  const at::Tensor values =
      at::rand({1000, 3}) * at::tensor({1.f, 100.f, 1e-3f}) + at::tensor({0.f, 5000.f, 1.f});
  FeatureStatistics whole, parts;
  whole.accumulate(values);
  for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 1}, {1, 0}, {1, 499}, {500, 500}}) {
    FeatureStatistics part;
    part.accumulate(values.narrow(0, begin, count));
    parts.merge(part);
  }
  EXPECT_EQ(whole.count, 1000);
  EXPECT_EQ(parts.count, 1000);
  const at::Tensor wide = values.to(at::kDouble);
  for (size_t f = 0; f < 3; ++f) {
    const auto index = static_cast<int64_t>(f);
    const double mean = wide.select(1, index).mean().item<double>();
    const double variance = wide.select(1, index).var(0, /*unbiased=*/false).item<double>();
    EXPECT_NEAR(whole.mean[f], mean, 1e-12 * std::abs(mean));
    EXPECT_NEAR(parts.mean[f], mean, 1e-12 * std::abs(mean));
    EXPECT_NEAR(whole.variance()[f], variance, 1e-9 * variance);
    EXPECT_NEAR(parts.variance()[f], variance, 1e-9 * variance);
  }
}

TEST(FeatureStatistics, ApplyUsesTheBiasedVarianceAndAFloor) {
  FeatureStatistics statistics;
  const at::Tensor values = at::tensor({1.f, 4.f, 3.f, 4.f}).view({2, 2});
  EXPECT_TRUE(at::equal(statistics.apply(values), values)) << "nothing collected: passed through";
  statistics.accumulate(values);
  const at::Tensor normalised = statistics.apply(values);
  EXPECT_FLOAT_EQ(normalised[0][0].item<float>(), -1);
  EXPECT_FLOAT_EQ(normalised[1][0].item<float>(), 1);
  EXPECT_FLOAT_EQ(normalised[0][1].item<float>(), 0);
  EXPECT_FLOAT_EQ(statistics.apply(at::tensor({2.f, 5.f}).view({1, 2}))[0][1].item<float>(), 1e7f);
  EXPECT_THROW(statistics.apply(at::zeros({2, 3})), c10::Error);
}

TEST(FeatureStatistics, RefusesValuesThatAreNotFinite) {
  FeatureStatistics statistics;
  EXPECT_THROW(statistics.accumulate(at::tensor({1.f, std::numeric_limits<float>::quiet_NaN()}).view({2, 1})),
               c10::Error);
  EXPECT_EQ(statistics.count, 0);
}

TEST(FeatureStatistics, NumbersComeBackBitForBit) {
  FeatureStatistics statistics;
  at::manual_seed(6);
  statistics.accumulate(at::rand({77, 17}));
  EXPECT_EQ(FeatureStatistics::from_values(statistics.to_values()), statistics);
  EXPECT_EQ(FeatureStatistics::from_values({}), FeatureStatistics{});
  const double inf = std::numeric_limits<double>::infinity();
  for (const std::vector<double>& bad : {std::vector<double>{1},
                                         {1, 2},
                                         {0, 1, 1},
                                         {1.5, 1, 1},
                                         {1, inf, 1},
                                         {1, 1, -1},
                                         {1e300, 1, 1},
                                         {std::nan(""), 1, 1}}) {
    EXPECT_THROW(FeatureStatistics::from_values(bad), DataError);
  }
}

}  // namespace
}  // namespace namm::memory
