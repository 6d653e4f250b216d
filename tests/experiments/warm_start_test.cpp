#include "experiments/warm_start.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "experiments/warm_start_fit.h"
#include "memory/mlp_scorer.h"
#include "tasks/task_list.h"
#include "tests/memory/random_tensors.h"
#include "tests/support/tolerances.h"

namespace namm::experiments {
namespace {

using memory::NammConfig;
using memory::TracedHead;
using testing::normal;

NammConfig config_of(const std::string& scorer) {
  NammConfig config;
  config.scorer = scorer;
  config.bam = {.hidden_dim = 8};
  config.mlp = {.hidden_layers = 2, .hidden_dim = 6};
  return config;
}

/// Tokens whose later attention is a rising function of two features.
FitExample synthetic_example(int64_t tokens, uint64_t seed, double keep_fraction = 0.5) {
  TracedHead head;
  head.features = normal({tokens, NammConfig().features()}, seed);
  const at::Tensor useful = (head.features.select(1, 8) - 0.5 * head.features.select(1, 12)).exp();
  head.later = useful;
  head.later_queries = 1;
  head.received = normal({tokens}, seed + 1);
  head.recent = head.received;
  int64_t group = static_cast<int64_t>(seed);
  return make_examples({head}, false, 1, RankWithin::head, keep_fraction, group).front();
}

std::vector<FitExample> synthetic_examples(int64_t count, uint64_t seed) {
  std::vector<FitExample> examples;
  for (int64_t i = 0; i < count; ++i)
    examples.push_back(synthetic_example(40 + 10 * (i % 3), seed + 10 * static_cast<uint64_t>(i)));
  return examples;
}

TEST(WarmStartTarget, EqualValuesShareTheirRank) {
  EXPECT_TRUE(at::equal(mean_ranks(at::tensor({0.3, 0.1, 0.3, 0.9, 0.3})),
                        at::tensor({2.0, 0.0, 2.0, 4.0, 2.0}, at::kDouble)));
}

TEST(WarmStartTarget, KeepsTheFractionThatReceivesMost) {
  const at::Tensor useful = normal({200}, 1).exp();
  for (const double fraction : {0.1, 0.5, 0.75}) {
    const at::Tensor target = target_scores(useful, fraction);
    EXPECT_EQ((target >= 0).sum().item<int64_t>(), std::llround(200 * fraction));
    EXPECT_TRUE(at::equal(target.argsort(), useful.argsort()));
    EXPECT_NEAR(target.std().item<double>(), 1, 0.05);
  }
}

TEST(WarmStartTarget, LabelsAreUsedOnlyWhereAskedFor) {
  TracedHead head;
  head.later = at::tensor({2.0F, 4.0F});
  head.later_queries = 4;
  head.answering = at::tensor({3.0F, 1.0F});
  head.answering_queries = 2;
  EXPECT_TRUE(at::equal(later_attention(head, false, 4), at::tensor({0.5, 1.0}, at::kDouble)));
  EXPECT_TRUE(at::equal(later_attention(head, true, 4), at::tensor({1.0, 0.75}, at::kDouble)));
  EXPECT_TRUE(at::equal(later_attention(head, true, 5), at::tensor({1.5, 0.5}, at::kDouble)));
  EXPECT_FALSE(later_attention(head, false, 5).defined()) << "too few queries say nothing";
}

TEST(WarmStartQuality, OfKnownScores) {
  const std::vector<FitExample> examples = synthetic_examples(4, 7);
  const auto quality = [&](const ScoreRule& rule) { return fit_quality(examples, 2, rule); };
  const FitQuality best = quality([](const FitExample& e) { return e.target; });
  EXPECT_EQ(best.loss, 0);
  EXPECT_NEAR(best.rank_correlation, 1, 1e-12);
  EXPECT_NEAR(best.recall, 1, 1e-12);
  EXPECT_EQ(best.kept, 0.5);
  const FitQuality worst = quality([](const FitExample& e) { return -e.target; });
  EXPECT_NEAR(worst.rank_correlation, -1, 1e-12);
  EXPECT_NEAR(worst.recall, 0, 1e-12);
  const FitQuality none = quality([](const FitExample& e) { return at::zeros_like(e.target); });
  EXPECT_EQ(none.rank_correlation, 0);
  EXPECT_NEAR(none.recall, 0.5, 1e-12) << "as a draw";
  EXPECT_EQ(none.kept, 1);
}

// Two heads at two updates: of the first all tokens but one are worth more than any of the second.
TEST(WarmStartExamples, RankedWithinAnUpdateOrAHead) {
  std::vector<TracedHead> heads;
  for (const int64_t update : {0, 1}) {
    for (const int64_t head : {0, 1}) {
      TracedHead traced;
      traced.update = update;
      traced.kv_head = head;
      traced.features = normal({4, 3}, 60);
      traced.later = head == 0 ? at::tensor({0.5F, 0.6F, 0.7F, 0.0F}) : at::tensor({0.1F, 0.2F, 0.3F, 0.4F});
      traced.later_queries = update == 0 ? 8 : 2;
      heads.push_back(traced);
    }
  }
  int64_t group = 0;
  const auto kept = [](const FitExample& example) { return (example.target >= 0).sum().item<int64_t>(); };
  const auto together = make_examples(heads, false, 2, RankWithin::update, 0.5, group);
  ASSERT_EQ(together.size(), 4u);
  EXPECT_EQ(group, 2);
  EXPECT_EQ(together[0].group, together[1].group);
  EXPECT_NE(together[1].group, together[2].group);
  EXPECT_EQ(kept(together[0]), 3);
  EXPECT_EQ(kept(together[1]), 1);
  const auto apart = make_examples(heads, false, 2, RankWithin::head, 0.5, group);
  EXPECT_EQ(group, 6);
  EXPECT_EQ(kept(apart[0]), 2);
  EXPECT_EQ(kept(apart[1]), 2);
  EXPECT_EQ(make_examples(heads, false, 3, RankWithin::head, 0.5, group).size(), 2u) << "too few queries";
  EXPECT_THROW(rank_within("layer"), ConfigError);

  const ScoreRule same_order = [](const FitExample& e) { return 3 * e.head.later; };
  EXPECT_NEAR(rank_quality(together, 0.5, 1, same_order).loss, 0, 1e-12);
  EXPECT_GT(fit_quality(together, 1, same_order).loss, 0.1);
  EXPECT_NEAR(rank_quality(apart, 0.5, 1, same_order).recall, 1, 1e-12);
}

class Scorers : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(WarmStart, Scorers, ::testing::Values("bam", "mlp", "linear"));

// Every parameter has the gradient that a step of it shows, in float64.
TEST_P(Scorers, GradientIsThatOfSteps) {
  const NammConfig config = config_of(GetParam());
  TracedHead head;
  head.features = normal({12, config.features()}, 3, at::kDouble);
  const at::Tensor weights = normal({12}, 4, at::kDouble);
  const auto value = [&](const at::Tensor& theta) {
    return differentiable_scores(config, theta, head).dot(weights);
  };
  at::Tensor theta = (normal({config.parameters()}, 5, at::kDouble) * 0.3).requires_grad_();
  value(theta).backward();
  const at::Tensor gradient = theta.grad();
  const at::Tensor fixed = theta.detach();
  for (int64_t i = 0; i < config.parameters(); i += 7) {
    const auto moved = [&](double by) {
      at::Tensor copy = fixed.clone();
      copy[i] += by;
      return value(copy).item<double>();
    };
    const double step = 1e-5, slope = (moved(step) - moved(-step)) / (2 * step);
    EXPECT_NEAR(gradient[i].item<double>(), slope, 1e-6 * (1 + std::abs(slope))) << i;
  }
  for (const memory::ParameterBlock& block : config.layout()) {
    EXPECT_GT(gradient.narrow(0, block.offset, block.rows * block.cols).abs().max().item<double>(), 0)
        << block.name;
  }
}

TEST_P(Scorers, LossFallsAndHeldOutContextsAreTold) {
  const NammConfig config = config_of(GetParam());
  const std::vector<FitExample> examples = synthetic_examples(24, 100), others = synthetic_examples(8, 5000);
  FitOptions options{.steps = 150, .examples_per_step = 8, .learning_rate = 0.02};
  std::vector<double> losses;
  const auto parameters =
      fit_scorer(config, examples, options, [&](int64_t, double loss) { losses.push_back(loss); });
  ASSERT_EQ(losses.size(), 150u);
  const auto mean = [](auto begin, auto end) {
    return std::accumulate(begin, end, 0.0) / static_cast<double>(end - begin);
  };
  EXPECT_LT(mean(losses.end() - 10, losses.end()), 0.3 * mean(losses.begin(), losses.begin() + 3));
  const at::Tensor theta = at::tensor(parameters);
  const FitQuality quality = fit_quality(others, 1, [&](const FitExample& example) {
    return differentiable_scores(config, theta, example.head);
  });
  EXPECT_GT(quality.rank_correlation, 0.9);
  EXPECT_GT(quality.recall, 0.85);
}

TEST_P(Scorers, SameBitsForAnyNumberOfThreads) {
  const NammConfig config = config_of(GetParam());
  const std::vector<FitExample> examples = synthetic_examples(10, 300);
  FitOptions options{.steps = 8, .examples_per_step = 6};
  const auto one = fit_scorer(config, examples, options);
  options.threads = 3;
  EXPECT_EQ(fit_scorer(config, examples, options), one);
  options.seed = 2;
  EXPECT_NE(fit_scorer(config, examples, options), one);
}

TEST(WarmStartFit, MlpIsTheProgramsOwn) {
  const NammConfig config = config_of("mlp");
  const FitExample example = synthetic_example(30, 8);
  const at::Tensor theta = normal({config.parameters()}, 9) * 0.3;
  const at::Tensor ours = differentiable_scores(config, theta, example.head);
  const at::Tensor theirs =
      memory::mlp_scores_reference(example.head.features, {{0, 30, 0}}, theta.unsqueeze(0), config.mlp);
  EXPECT_LT((ours - theirs).abs().max().item<double>(), tolerances::implementations::scores * 10);
}

TEST(WarmStartFit, BiasKeepsTheFractionAskedFor) {
  const NammConfig config = config_of("linear");
  std::vector<FitExample> examples;
  for (uint64_t i = 0; i < 6; ++i) examples.push_back(synthetic_example(50, 20 + i, 0.3));
  const auto parameters = fit_scorer(config, examples, {.steps = 20, .examples_per_step = 4});
  const at::Tensor theta = at::tensor(parameters);
  const FitQuality quality = fit_quality(examples, 1, [&](const FitExample& example) {
    return differentiable_scores(config, theta, example.head);
  });
  EXPECT_NEAR(quality.kept, 0.3, 1.5 / 300);
}

// Scorers of several layers are fitted to their own layers' heads.
TEST(WarmStartFit, EveryLayersScorerHasItsOwnExamples) {
  NammConfig config = config_of("linear");
  config.sharing = "per_layer";
  config.transformer = {2, 1};
  std::vector<FitExample> examples = synthetic_examples(12, 40);
  for (size_t i = 0; i < examples.size(); ++i) {
    if (i % 2 == 0) continue;
    examples[i].head.layer = 1;
    examples[i].useful = -examples[i].useful;
    examples[i].target = target_scores(examples[i].useful, 0.5);
  }
  const at::Tensor theta = at::tensor(
      fit_scorer(config, examples, {.steps = 100, .examples_per_step = 12, .learning_rate = 0.05}));
  const FitQuality quality = fit_quality(examples, 1, [&](const FitExample& example) {
    return differentiable_scores(config, theta, example.head);
  });
  EXPECT_GT(quality.rank_correlation, 0.9);
}

// On the shipped model: the attention of a query sums to 1, and what is received between two updates is both
// what is lost of `later` and what is added to `received`.
TEST(WarmStartTrace, AttentionAddsUp) {
  const auto archive =
      models::Archive::load(std::filesystem::path(NAMM_SOURCE_DIR) / "models/tiny/tiny-llama.pt");
  const auto task = tasks::make_task("needle/hop", {.context_tokens = 120, .questions_per_context = 2});
  const tasks::Sample sample = task->sample(tasks::Split::train, 0, archive->codec());
  NammConfig config;
  config.period_tokens = 32;
  const auto trace = [&](LabelUse labels) {
    return trace_context(archive, {.shape = archive->contract().shape, .policy = {}}, 50, config, {},
                         sample.context_ids, sample.questions, labels,
                         [](int64_t, int64_t, int64_t) { return true; });
  };
  const auto heads = trace(LabelUse::none);
  const auto tokens = std::ssize(sample.context_ids);
  const int64_t cells = archive->contract().shape.layers * archive->contract().shape.kv_heads,
                updates = tokens / 32;
  ASSERT_EQ(std::ssize(heads), updates * cells);
  ASSERT_NE(tokens % 32, 0) << "the context has a rest";
  for (size_t i = 0; i < heads.size(); ++i) {
    const TracedHead& head = heads[i];
    EXPECT_NEAR(head.received.sum().item<double>(), static_cast<double>(head.tokens()), 1e-3);
    EXPECT_NEAR(head.recent.sum().item<double>(), 32, 1e-3);
    EXPECT_EQ(head.later_queries, tokens - head.tokens());
    EXPECT_EQ(head.answering.abs().max().item<double>(), 0) << "no question was read";
    if (head.update + 1 == updates) continue;
    const TracedHead& next = heads[i + static_cast<size_t>(cells)];
    const auto of_old = [&](const at::Tensor& x) { return x.narrow(0, 0, head.tokens()); };
    const at::Tensor gained = of_old(next.received) - head.received, lost = head.later - of_old(next.later);
    EXPECT_LT((gained - lost).abs().max().item<double>(), 1e-4);
    EXPECT_GT(gained.min().item<double>(), -1e-4);
  }
  const auto asked = trace(LabelUse::questions);
  int64_t queries = 0;
  double answering = 0;
  for (const auto& question : sample.questions)
    queries += std::ssize(question.ids) + std::ssize(question.target_ids) - 1;
  for (size_t i = 0; i < asked.size(); ++i) {
    EXPECT_TRUE(at::equal(asked[i].later, heads[i].later));
    EXPECT_EQ(asked[i].answering_queries, queries);
    EXPECT_LE(asked[i].answering.sum().item<double>(), static_cast<double>(queries) * (1 + 1e-5));
    answering += asked[i].answering.sum().item<double>();
  }
  EXPECT_GT(answering, 0);
}

TEST(WarmStartOptions, LabelUseIsNamed) {
  EXPECT_EQ(label_use("none"), LabelUse::none);
  EXPECT_EQ(to_string(label_use("questions")), "questions");
  EXPECT_THROW(label_use("some"), ConfigError);
}

}  // namespace
}  // namespace namm::experiments
