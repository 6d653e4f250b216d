#include "models/generator.h"

#include <cmath>
#include <filesystem>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "memory/policies/full.h"
#include "memory/policies/namm.h"
#include "tests/support/compare_tensors.h"
#include "tests/support/tolerances.h"

namespace namm::models {
namespace {

using memory::NammConfig;
using memory::NammPolicy;
using memory::RowId;
using memory::Session;
using Ids = std::vector<std::vector<int64_t>>;

std::shared_ptr<const Archive> archive() {
  static const auto loaded =
      Archive::load(std::filesystem::path(NAMM_TEST_DATA) / "archives" / "torch-2.11.0.pt");
  return loaded;
}

Session session(
    std::shared_ptr<const memory::EvictionPolicy> policy = std::make_shared<memory::FullPolicy>()) {
  memory::SessionOptions options;
  options.shape = archive()->contract().shape;
  options.policy = std::move(policy);
  return Session(options);
}

// Forgets about half of the tokens every 32.
std::shared_ptr<const NammPolicy> forgetful() {
  NammConfig config;
  config.period_tokens = 32;
  const at::Tensor theta =
      at::randn({1, config.parameters()}, at::make_generator<at::CPUGeneratorImpl>(4)) * 0.2;
  return std::make_shared<NammPolicy>(config, theta, memory::FeatureStatistics{});
}

std::vector<int64_t> prompt(int64_t length, int64_t seed) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < length; ++i) ids.push_back((i * i * 7 + seed * 31 + i * 13) % 320);
  return ids;
}

struct Answer {
  Ids ids;
  at::Tensor logits;
};

Answer answer(Session& session, const Ids& prompts, int64_t new_tokens, int64_t chunk_tokens = 512) {
  Generator generator(archive(), session, {chunk_tokens});
  std::vector<RowId> rows;
  for (std::size_t i = 0; i < prompts.size(); ++i) rows.push_back(session.add_row());
  const at::Tensor logits = generator.prefill(rows, prompts);
  const std::vector<int64_t> limits(prompts.size(), new_tokens);
  return {generator.greedy(rows, logits, limits, {}), logits};
}

void expect_near(const at::Tensor& ours, const at::Tensor& theirs, const char* what) {
  testing::Comparison().near(ours, theirs, tolerances::implementations::attention, true, what);
}

TEST(Generator, RowsOfAnyLengthShareTheirSteps) {
  const Ids prompts = {prompt(70, 1), prompt(3, 2), prompt(129, 3), prompt(1, 4)};
  for (const bool forgets : {false, true}) {
    Session together = forgets ? session(forgetful()) : session();
    const Answer all = answer(together, prompts, 40);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      Session single = forgets ? session(forgetful()) : session();
      const Answer one = answer(single, {prompts[i]}, 40);
      EXPECT_EQ(one.ids[0], all.ids[i]);
      expect_near(all.logits[static_cast<int64_t>(i)], one.logits[0], "logits of a row alone");
      EXPECT_EQ(single.kept_history(0), together.kept_history(static_cast<RowId>(i)));
    }
  }
}

TEST(Generator, ChunksDoNotMatter) {
  const Ids prompts = {prompt(150, 1), prompt(40, 2)};
  Session whole = session(forgetful());
  const Answer expected = answer(whole, prompts, 20);
  for (const int64_t chunk : {1, 7, 32, 100}) {
    Session cut = session(forgetful());
    const Answer ours = answer(cut, prompts, 20, chunk);
    EXPECT_EQ(ours.ids, expected.ids) << chunk;
    expect_near(ours.logits, expected.logits, "logits");
  }
}

TEST(Generator, TheLastUpdateIsLeftToWhoeverForks) {
  const Ids prompts = {prompt(64, 1), prompt(20, 2)};  // two updates, and none
  Session session_of_forks = session(forgetful()), plain = session(forgetful());
  Generator generator(archive(), session_of_forks, {16});
  const std::vector<RowId> rows = {session_of_forks.add_row(), session_of_forks.add_row()};
  const at::Tensor logits = generator.prefill_until_update(rows, prompts);
  EXPECT_EQ(session_of_forks.kept_history(rows[0]).size(), 1u);
  EXPECT_EQ(session_of_forks.tokens_until_update(rows[0]), 0);
  const RowId fork = session_of_forks.fork(rows[0], 0, 0);
  session_of_forks.update();
  const Answer expected = answer(plain, prompts, 1, 16);
  expect_near(logits, expected.logits, "logits");
  EXPECT_EQ(session_of_forks.kept_history(fork), plain.kept_history(0));
  EXPECT_EQ(session_of_forks.kept_history(rows[0]), plain.kept_history(0));
}

TEST(Generator, StopsAtAnyStopIdAndAtEachRowsLimit) {
  const Ids prompts = {prompt(9, 1), prompt(9, 1), prompt(9, 1), prompt(9, 1)};
  Session first = session();
  const std::vector<int64_t> free = answer(first, {prompts[0]}, 30).ids[0];
  std::size_t place = 1;
  while (place < free.size() && std::find(free.begin(), free.begin() + static_cast<std::ptrdiff_t>(place),
                                          free[place]) != free.begin() + static_cast<std::ptrdiff_t>(place)) {
    ++place;
  }
  ASSERT_LT(place, free.size()) << "the tiny model repeats one token; choose another prompt";

  Session second = session();
  Generator generator(archive(), second);
  std::vector<RowId> rows;
  for (std::size_t i = 0; i < prompts.size(); ++i) rows.push_back(second.add_row());
  const at::Tensor logits = generator.prefill(rows, prompts);
  const std::vector<int64_t> limits = {30, 0, 1, static_cast<int64_t>(place)};
  const std::vector<int64_t> stops = {free[place], 319};
  const Ids ids = generator.greedy(rows, logits, limits, stops);
  EXPECT_EQ(ids[0],
            std::vector<int64_t>(free.begin(), free.begin() + static_cast<std::ptrdiff_t>(place) + 1));
  EXPECT_TRUE(ids[1].empty());
  EXPECT_EQ(ids[2], std::vector<int64_t>{free[0]});
  EXPECT_EQ(ids[3], std::vector<int64_t>(free.begin(), free.begin() + static_cast<std::ptrdiff_t>(place)));
  // The last id of a row is never fed.
  EXPECT_EQ(second.tokens_processed(rows[0]), 9 + static_cast<int64_t>(place));
  EXPECT_EQ(second.tokens_processed(rows[2]), 9);
}

TEST(Generator, OfEqualLogitsTheLowestIdWins) {
  Session s = session();
  Generator generator(archive(), s);
  const std::vector<RowId> rows = {s.add_row()};
  generator.prefill(rows, Ids{{1, 4}});
  at::Tensor logits = at::zeros({1, 320});
  logits[0][17] = logits[0][30] = 2.0f;
  EXPECT_EQ(generator.greedy(rows, logits, std::vector<int64_t>{1}, {}), (Ids{{17}}));
}

TEST(Generator, ScoresAreTheLogLikelihoodsOfDecoding) {
  // The second answer runs over an update at 64 tokens.
  const Ids prompts = {prompt(20, 1), prompt(60, 2)}, targets = {prompt(3, 8), prompt(10, 9)};
  Session s = session(forgetful());
  Generator generator(archive(), s);
  std::vector<RowId> rows = {s.add_row(), s.add_row()};
  const std::vector<Scored> scored = generator.score(rows, prompts, targets);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Session stepwise = session(forgetful());
    Generator single(archive(), stepwise);
    const std::vector<RowId> row = {stepwise.add_row()};
    at::Tensor logits = single.prefill(row, std::span(&prompts[i], 1));
    double expected = 0;
    for (std::size_t k = 0; k < targets[i].size(); ++k) {
      expected += at::log_softmax(logits[0], 0)[targets[i][k]].item<double>();
      if (k + 1 < targets[i].size()) logits = single.prefill(row, Ids{{targets[i][k]}});
    }
    EXPECT_NEAR(scored[i].log_likelihood, expected, 1e-3) << i;
    EXPECT_EQ(scored[i].tokens, static_cast<int64_t>(targets[i].size()));
    EXPECT_FALSE(scored[i].greedy_match);
  }

  Session again = session(forgetful());
  const Ids best = answer(again, prompts, 12).ids;
  Session third = session(forgetful());
  Generator matching(archive(), third);
  rows = {third.add_row(), third.add_row()};
  for (const Scored& one : matching.score(rows, prompts, best)) EXPECT_TRUE(one.greedy_match);
}

TEST(Generator, ForkedRowsAnswerFromOnePrefill) {
  Session s = session(forgetful());
  Generator generator(archive(), s);
  const std::vector<RowId> context = {s.add_row()};
  generator.prefill(context, Ids{prompt(50, 5)});
  const Ids questions = {prompt(4, 1), prompt(20, 2)};
  const std::vector<RowId> forks = {s.fork(context[0], 0, 1), s.fork(context[0], 0, 2)};
  const at::Tensor logits = generator.prefill(forks, questions);
  for (std::size_t i = 0; i < questions.size(); ++i) {
    std::vector<int64_t> whole = prompt(50, 5);
    whole.insert(whole.end(), questions[i].begin(), questions[i].end());
    Session single = session(forgetful());
    expect_near(logits[static_cast<int64_t>(i)], answer(single, {whole}, 1).logits[0], "logits of a fork");
  }
}

TEST(Generator, ReportsProgressAndRefusesEmptyRows) {
  Session s = session();
  Generator generator(archive(), s, {16});
  std::vector<int64_t> seen;
  const std::vector<RowId> rows = {s.add_row(), s.add_row()};
  generator.prefill(rows, Ids{prompt(40, 1), prompt(10, 2)}, [&](int64_t done, int64_t total) {
    EXPECT_EQ(total, 50);
    seen.push_back(done);
  });
  EXPECT_EQ(seen, (std::vector<int64_t>{26, 42, 50}));
  EXPECT_THROW(generator.prefill(rows, Ids{{1}, {}}), c10::Error);
  EXPECT_THROW(generator.score(rows, Ids{{1}, {1}}, Ids{{1}, {}}), c10::Error);
}

}  // namespace
}  // namespace namm::models
