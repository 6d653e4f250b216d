#include "experiments/evaluation.h"

#include <algorithm>
#include <filesystem>
#include <memory>

#include <gtest/gtest.h>

#include "memory/policy_list.h"
#include "tasks/task_list.h"

namespace namm::experiments {
namespace {

/// A memory with random parameters that decides often, so that updates fall into questions and answers.
memory::PolicyArguments arguments() {
  memory::PolicyArguments result;
  result.config.period_tokens = 4;
  result.config.spectrogram = {.n_fft = 8, .hop_length = 4};
  at::manual_seed(3);
  result.parameters = at::randn({1, result.config.parameters()}) * 0.2;
  result.budget = {memory::Budget::Kind::match_namm_heads, 0, 0};
  return result;
}

// A baseline with the memory's own counts keeps as many tokens at every update, those behind the context
// included.
TEST(Evaluation, BaselinesMatchTheMemoryInEveryRow) {
  const auto archive =
      models::Archive::load(std::filesystem::path(NAMM_SOURCE_DIR) / "models/tiny/tiny-llama.pt");
  const Evaluation evaluation(archive, 512);
  const auto task = tasks::make_task("needle/hop", {.context_tokens = 64, .questions_per_context = 3});
  const tasks::Sample sample = task->sample(tasks::Split::test, 0, archive->codec());
  const int64_t tag = 7;
  memory::PolicyArguments policies = arguments();
  const auto namm = evaluation.run(memory::make_policy("namm", policies), *task, sample, tag).kept;
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

}  // namespace
}  // namespace namm::experiments
