#include "experiments/evaluation.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "memory/policy_list.h"
#include "tasks/task_list.h"
#include "tests/support/tolerances.h"

namespace namm::experiments {
namespace {

/// A memory with random parameters that decides often, so that updates fall into questions and answers.
memory::PolicyArguments arguments(const std::string& policy = "namm",
                                  const memory::TransformerShape& shape = {}) {
  memory::PolicyArguments result;
  result.config.period_tokens = 4;
  result.config.spectrogram = {.n_fft = 8, .hop_length = 4};
  if (policy == "namm-mix") {
    result.config.scorer = "mix";
    result.config.mix.recent_tokens = 1;
    result.config.mix.sinks = 0;
    result.config.transformer.layers = shape.layers;
    result.config.transformer.kv_heads = shape.kv_heads;
  }
  at::manual_seed(3);
  result.parameters = at::randn({1, result.config.parameters()}) * 0.2;
  result.budget = {memory::Budget::Kind::match_namm_heads, 0, 0};
  return result;
}

class MemoryPolicies : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Evaluation, MemoryPolicies, ::testing::Values("namm", "namm-mix"),
                         [](const auto& policy) { return policy.param == "namm" ? "namm" : "namm_mix"; });

// A baseline with the memory's own counts keeps as many tokens at every update, those behind the context
// included.
TEST_P(MemoryPolicies, BaselinesMatchTheMemoryInEveryRow) {
  const auto archive =
      models::Archive::load(std::filesystem::path(NAMM_SOURCE_DIR) / "models/tiny/tiny-llama.pt");
  const Evaluation evaluation(archive, {.chunk_tokens = 512});
  const auto task = tasks::make_task("needle/hop", {.context_tokens = 64, .questions_per_context = 3});
  const tasks::Sample sample = task->sample(tasks::Split::test, 0, archive->codec());
  const int64_t tag = 7;
  memory::PolicyArguments policies = arguments(GetParam(), archive->contract().shape);
  const auto namm = evaluation.run(memory::make_policy(GetParam(), policies), *task, sample, tag).kept;
  ASSERT_EQ(namm.rows.size(), 1 + sample.questions.size());
  policies.recorded = std::make_shared<memory::RecordedCounts>(namm);
  const auto recency = evaluation.run(memory::make_policy("recency", policies), *task, sample, tag).kept;

  const size_t of_context = namm.rows.at(tag).size();
  ASSERT_EQ(of_context, 16u);
  size_t later = 0;
  for (const auto& [row, updates] : namm.rows) {
    const auto& others = recency.rows.at(row);
    // Answers may differ in length.
    const size_t common = std::min(updates.size(), others.size());
    later += common - of_context;
    for (size_t u = 0; u < common; ++u) EXPECT_EQ(updates[u], others[u]) << "row " << row << ", update " << u;
  }
  EXPECT_GE(later, sample.questions.size()) << "no update fell into a question";
}

// A population as one batch gives what each member gives alone; contexts of one update, of several and of
// none.
TEST(Evaluation, MembersDoNotTouchEachOther) {
  const auto archive =
      models::Archive::load(std::filesystem::path(NAMM_SOURCE_DIR) / "models/tiny/tiny-llama.pt");
  const Evaluation evaluation(archive, {.chunk_tokens = 512});
  memory::PolicyArguments policies = arguments();
  const int64_t n = policies.config.parameters();
  for (const auto& [context_tokens, period] : {std::pair{64, 64}, {64, 16}, {64, 48}, {64, 128}}) {
    const auto task =
        tasks::make_task("needle/hop", {.context_tokens = context_tokens, .questions_per_context = 2});
    const std::vector<tasks::Sample> samples = {task->sample(tasks::Split::test, 0, archive->codec()),
                                                task->sample(tasks::Split::test, 1, archive->codec())};
    policies.config.period_tokens = period;
    const at::Tensor theta = at::randn({3, n}) * 0.2;
    policies.parameters = theta;
    const auto together =
        evaluation.score(memory::make_policy("namm", policies), 3, *task, samples, /*greedy_answers=*/false);
    ASSERT_EQ(together.size(), 6u);
    for (int64_t m = 0; m < 3; ++m) {
      policies.parameters = theta.narrow(0, m, 1).clone();
      for (size_t s = 0; s < 2; ++s) {
        const auto alone =
            evaluation.score(memory::make_policy("namm", policies), 1, *task, {samples[s]}, false).front();
        const auto& ours = together[static_cast<size_t>(m) * 2 + s];
        EXPECT_EQ(ours.cache_tokens, alone.cache_tokens) << period;
        EXPECT_EQ(ours.exact, alone.exact) << period;
        EXPECT_NEAR(ours.log_likelihood, alone.log_likelihood,
                    tolerances::other_program::logits * (1 + std::abs(alone.log_likelihood)))
            << period;
      }
    }
  }
}

TEST(Evaluation, CalibrationSeesTheFeaturesOfTheConfig) {
  const auto archive =
      models::Archive::load(std::filesystem::path(NAMM_SOURCE_DIR) / "models/tiny/tiny-llama.pt");
  const Evaluation evaluation(archive, {.chunk_tokens = 512});
  const auto task = tasks::make_task("needle/hop", {.context_tokens = 64, .questions_per_context = 2});
  const std::vector<tasks::Sample> samples = {task->sample(tasks::Split::train, 0, archive->codec())};
  memory::NammConfig config;
  config.period_tokens = 64;
  const auto plain = evaluation.calibrate(config, *task, samples);
  config.spectral = "log_magnitude";
  const auto logs = evaluation.calibrate(config, *task, samples);
  config.spectral = "dc_only";
  const auto constant = evaluation.calibrate(config, *task, samples);
  config.spectral = "complex";
  EXPECT_EQ(evaluation.calibrate(config, *task, samples).features(), 32);
  EXPECT_EQ(plain.count, logs.count);
  EXPECT_EQ(logs.features(), 17);
  EXPECT_EQ(constant.features(), 1);
  EXPECT_NEAR(constant.mean[0], plain.mean[0], 1e-9);
  EXPECT_GT(plain.mean[0], 0);
  EXPECT_LT(logs.mean[0], 0);
}

}  // namespace
}  // namespace namm::experiments
