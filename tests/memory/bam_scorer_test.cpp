#include "memory/bam_scorer.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "tests/support/compare_tensors.h"
#include "tests/support/tolerances.h"

namespace namm::memory {
namespace {

using namm::testing::Comparison;

at::Tensor appendix_theta(int64_t n) {
  return (at::arange(1, n + 1, at::kDouble).sin() / 2).unsqueeze(0);
}

const at::Tensor& appendix_features() {
  static const at::Tensor features = at::tensor({0.1, 0.2, 0.3, -0.4, -0.5, 0.6}, at::kDouble).view({3, 2});
  return features;
}

// namm-semantics, appendix A.3.
TEST(BamScorer, AppendixVectors) {
  struct Case {
    bool mult;
    int64_t parameters;
    std::vector<double> scores;
  };
  for (const Case& c : {Case{true, 33, {0.4078488930, 0.3330316939, 0.5015950911}},
                        Case{false, 27, {0.3253582111, 0.0908470779, 0.5176399902}}}) {
    const BamConfig config{.hidden_dim = 2, .heads = 1, .bias = true, .mult = c.mult};
    ASSERT_EQ(bam_parameters(config, 2), c.parameters);
    const at::Tensor theta = appendix_theta(c.parameters);
    const at::Tensor exact = bam_scores_reference(appendix_features(), {{0, 3, 0}}, theta, config);
    const at::Tensor fast =
        bam_scores(appendix_features().to(at::kFloat), {{0, 3, 0}}, theta.to(at::kFloat), config);
    for (int64_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(exact[i].item<double>(), c.scores[static_cast<size_t>(i)],
                  tolerances::appendix::scores_float64);
      EXPECT_NEAR(fast[i].item<double>(), c.scores[static_cast<size_t>(i)], tolerances::appendix::scores);
    }
  }
}

TEST(BamScorer, LayoutIsTheOfficialOne) {
  const std::vector<ParameterBlock> expected = {{"qkv.weight", 0, 25, 96},     {"qkv.bias", 2400, 1, 96},
                                                {"out.weight", 2496, 32, 50},  {"out.bias", 4096, 1, 50},
                                                {"score.weight", 4146, 25, 1}, {"score.bias", 4171, 1, 1}};
  EXPECT_EQ(bam_layout({}, 25), expected);
  EXPECT_EQ(bam_parameters({}, 25), 4172);
  EXPECT_EQ(bam_parameters({.mult = false}, 25), 3347);
  EXPECT_EQ(bam_parameters({.bias = false, .mult = false}, 25), 3226);
}

// Segments of a population: lengths, members and head counts that a batch can hold.
const std::vector<BamSegment> kSegments = {{0, 1, 0}, {1, 1, 1}, {1, 130, 2}, {130, 515, 0}, {515, 517, 1}};

TEST(BamScorer, EqualsTheReferenceInEveryVariant) {
  at::manual_seed(11);
  Comparison compared;
  const at::Tensor features = at::randn({517, 9});
  for (const int64_t heads : {1, 2, 4}) {
    for (const bool bias : {true, false}) {
      for (const bool mult : {true, false}) {
        const BamConfig config{.hidden_dim = 8, .heads = heads, .bias = bias, .mult = mult};
        const at::Tensor theta = at::randn({3, bam_parameters(config, 9)}) * 0.5;
        compared.near(
            bam_scores(features, kSegments, theta, config),
            bam_scores_reference(features.to(at::kDouble), kSegments, theta.to(at::kDouble), config),
            tolerances::implementations::scores, true, "heads " + std::to_string(heads));
      }
    }
  }
}

TEST(BamScorer, ASegmentHasTheSameBitsWhateverStandsBesideIt) {
  at::manual_seed(12);
  const at::Tensor features = at::randn({517, 25}), theta = at::randn({3, 4172}) * 0.1;
  const at::Tensor together = bam_scores(features, kSegments, theta, {});
  for (const BamSegment& s : kSegments) {
    const int64_t n = s.end - s.begin;
    const at::Tensor alone =
        bam_scores(features.narrow(0, s.begin, n), {{0, n, 0}}, theta.narrow(0, s.member, 1), {});
    EXPECT_TRUE(at::equal(together.narrow(0, s.begin, n), alone));
  }
}

TEST(BamScorer, ATokenSeesItselfAndNewerTokensOnly) {
  at::manual_seed(13);
  const at::Tensor features = at::randn({6, 25}), theta = at::randn({1, 4172}) * 0.3;
  at::Tensor changed = features.clone();
  changed[3] += 1;
  const at::Tensor before = bam_scores(features, {{0, 6, 0}}, theta, {}),
                   after = bam_scores(changed, {{0, 6, 0}}, theta, {});
  for (int64_t i = 0; i < 6; ++i) {
    EXPECT_EQ(before[i].item<float>() != after[i].item<float>(), i <= 3) << i;
  }
}

TEST(BamScorer, ZeroParametersScoreExactlyZero) {
  const at::Tensor scores = bam_scores(at::randn({40, 25}), {{0, 40, 0}}, at::zeros({1, 4172}), {});
  EXPECT_TRUE(at::equal(scores, at::zeros({40})));
}

TEST(BamScorer, KeyBiasesAreInert) {
  at::manual_seed(14);
  const at::Tensor features = at::randn({30, 25}).to(at::kDouble),
                   theta = at::randn({1, 4172}, at::kDouble) * 0.3;
  at::Tensor changed = theta.clone();
  changed.narrow(1, 2432, 32).add_(1);
  EXPECT_TRUE(at::allclose(bam_scores_reference(features, {{0, 30, 0}}, theta, {}),
                           bam_scores_reference(features, {{0, 30, 0}}, changed, {}), 1e-9, 1e-9));
}

TEST(BamScorer, WrongArgumentsAreRefused) {
  const at::Tensor features = at::zeros({4, 25}), theta = at::zeros({2, 4172});
  EXPECT_THROW(bam_scores(features, {{0, 4, 2}}, theta, {}), c10::Error) << "no such member";
  EXPECT_THROW(bam_scores(features, {{0, 3, 0}}, theta, {}), c10::Error) << "a token in no segment";
  EXPECT_THROW(bam_scores(features, {{1, 4, 0}}, theta, {}), c10::Error);
  EXPECT_THROW(bam_scores(features, {{0, 4, 0}}, at::zeros({1, 4171}), {}), c10::Error);
  EXPECT_THROW(bam_scores(features, {{0, 4, 0}}, theta.to(at::kDouble), {}), c10::Error);
  EXPECT_THROW(bam_scores(features, {{0, 4, 0}}, theta, {.hidden_dim = 32, .heads = 3}), c10::Error);
}

TEST(BamConfig, RefusesHeadsThatDoNotDivideTheWidth) {
  EXPECT_THROW(read_config<BamConfig>(ConfigDocument::from_text("{hidden_dim: 32, heads: 3}", "test.yaml")),
               ConfigError);
}

}  // namespace
}  // namespace namm::memory
