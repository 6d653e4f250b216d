#include "models/sampler.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace namm::models {
namespace {

// Shares of `draws` independent draws from one row of logits.
std::vector<double> shares(const SamplingOptions& options, const std::vector<float>& logits, int64_t draws) {
  const Sampler sampler(options);
  const at::Tensor row = at::tensor(logits).unsqueeze(0);
  std::vector<double> result(logits.size());
  for (int64_t i = 0; i < draws; ++i) {
    const DrawPlace place{i % 100, i / 100};
    result[static_cast<size_t>(sampler.choose(row, {&place, 1}).front())] += 1.0 / static_cast<double>(draws);
  }
  return result;
}

void expect_shares(const SamplingOptions& options, const std::vector<float>& logits,
                   const std::vector<double>& expected) {
  constexpr int64_t kDraws = 20000;
  const std::vector<double> seen = shares(options, logits, kDraws);
  for (size_t i = 0; i < expected.size(); ++i) {
    // Five standard deviations; what is impossible never comes.
    const double spread = 5 * std::sqrt(expected[i] * (1 - expected[i]) / kDraws);
    EXPECT_NEAR(seen[i], expected[i], spread + 1e-12) << "token " << i;
  }
}

const std::vector<float> kLogits = {std::log(0.4f), std::log(0.1f), std::log(0.3f), std::log(0.2f)};

TEST(Sampler, ZeroTemperatureTakesTheMostLikelyAndTheLowestIdOfEqualOnes) {
  const std::vector<DrawPlace> places(2);
  EXPECT_EQ(Sampler().choose(at::tensor({1.f, 3.f, 3.f, 2.f, 5.f, 5.f, 1.f, 1.f}).view({2, 4}), places),
            (std::vector<int64_t>{1, 0}));
}

TEST(Sampler, DrawsByProbability) {
  expect_shares({.temperature = 1}, kLogits, {0.4, 0.1, 0.3, 0.2});
  const double sum = 0.16 + 0.01 + 0.09 + 0.04;
  expect_shares({.temperature = 0.5}, kLogits, {0.16 / sum, 0.01 / sum, 0.09 / sum, 0.04 / sum});
}

TEST(Sampler, CutsByRankAndByShare) {
  expect_shares({.temperature = 1, .top_k = 2}, kLogits, {4.0 / 7, 0, 3.0 / 7, 0});
  expect_shares({.temperature = 1, .top_k = 9}, kLogits, {0.4, 0.1, 0.3, 0.2});
  // 0.4 + 0.3 reach 0.6; 0.4 alone does not.
  expect_shares({.temperature = 1, .top_p = 0.6}, kLogits, {4.0 / 7, 0, 3.0 / 7, 0});
  expect_shares({.temperature = 1, .top_p = 0.01}, kLogits, {1, 0, 0, 0});
  // The share is of what top_k left: 4/7 reach one half.
  expect_shares({.temperature = 1, .top_k = 2, .top_p = 0.5}, kLogits, {1, 0, 0, 0});
  const float never = -std::numeric_limits<float>::infinity();
  expect_shares({.temperature = 3}, {never, 1, never, 1}, {0, 0.5, 0, 0.5});
}

TEST(Sampler, EqualTokensAtTheRankAllStay) {
  expect_shares({.temperature = 1, .top_k = 1}, {2, 2, 1, 2}, {1.0 / 3, 1.0 / 3, 0, 1.0 / 3});
}

TEST(Sampler, APlaceGivesTheSameTokenWhateverElseIsDrawn) {
  const Sampler sampler({.temperature = 1, .seed = 5});
  const at::Tensor rows = at::tensor(kLogits).repeat({50, 1});
  std::vector<DrawPlace> places;
  for (int64_t i = 0; i < 50; ++i) places.push_back({i % 7, i / 7});
  const std::vector<int64_t> together = sampler.choose(rows, places);
  for (size_t i = 0; i < places.size(); ++i)
    EXPECT_EQ(sampler.choose(rows.narrow(0, 0, 1), {&places[i], 1}).front(), together[i]);
  EXPECT_NE(Sampler({.temperature = 1, .seed = 6}).choose(rows, places), together);
}

TEST(Sampler, WrongNumbersAreRefused) {
  EXPECT_ANY_THROW(Sampler({.temperature = -1}));
  EXPECT_ANY_THROW(Sampler({.temperature = std::nan("")}));
  EXPECT_ANY_THROW(Sampler({.top_k = -1}));
  EXPECT_ANY_THROW(Sampler({.top_p = 0}));
  EXPECT_ANY_THROW(Sampler({.top_p = 1.5}));
  const DrawPlace place;
  EXPECT_ANY_THROW(Sampler({.temperature = 1}).choose(at::tensor({NAN, 1.f}).view({1, 2}), {&place, 1}));
  EXPECT_ANY_THROW(Sampler().choose(at::zeros({2, 3}), {&place, 1}));
}

}  // namespace
}  // namespace namm::models
