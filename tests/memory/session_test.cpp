#include "memory/session.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include "memory/attend.h"
#include "memory/policy_list.h"
#include "tests/memory/counting_allocator.h"
#include "tests/memory/toy_transformer.h"
#include "tests/support/compare_tensors.h"
#include "tests/support/tolerances.h"

namespace namm::memory {
namespace {

using testing::Comparison;
using testing::CountingAllocator;
using ::testing::HasSubstr;
using testing::normal;
using testing::TestPolicy;
using testing::ToyTransformer;

constexpr TransformerShape kShape{2, 4, 2, 16};

bool keep_all(int64_t, int64_t, int64_t) {
  return true;
}
bool keep_every_third(int64_t, int64_t kv_head, int64_t position) {
  return (position + kv_head) % 3 == 0;
}

SessionOptions options_of(int64_t period, Needs needs = {}, TestPolicy::Rule rule = keep_every_third,
                          const TransformerShape& shape = kShape) {
  SessionOptions options;
  options.shape = shape;
  options.policy = std::make_shared<TestPolicy>(period, std::move(needs), std::move(rule));
  return options;
}

Needs everything() {
  return {SpectrogramConfig{}, true, true};
}

const ToyTransformer& toy() {
  static const ToyTransformer model(kShape, 24, 5);
  return model;
}

// Reads `input` [tokens, hidden] into one row, cut at multiples of the period; returns the hidden states.
at::Tensor read(Session& session, RowId row, const at::Tensor& input, int64_t chunk = 512) {
  std::vector<at::Tensor> out;
  for (int64_t done = 0; done < input.size(0);) {
    const int64_t count = std::min({chunk, input.size(0) - done, session.tokens_until_update(row)});
    out.push_back(toy().step(session, {row}, {input.narrow(0, done, count)})[0]);
    session.update();
    done += count;
  }
  return at::cat(out);
}

template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "no error";
}

TEST(Session, EvictingNothingChangesNoBit) {
  const at::Tensor input = normal({300, 24}, 1);
  Session full(options_of(0)), all(options_of(64, everything(), keep_all));
  const RowId a = full.add_row(), b = all.add_row();
  EXPECT_TRUE(at::equal(read(full, a, input, 64), read(all, b, input, 64)));
  EXPECT_EQ(full.usage(a).lengths, all.usage(b).lengths);
  EXPECT_EQ(all.kept_history(b).size(), 4u);
  EXPECT_TRUE(full.kept_history(a).empty());
  EXPECT_EQ(full.tokens_until_update(a), std::numeric_limits<int64_t>::max());
}

TEST(Session, PositionsContinueAfterEvictions) {
  Session session(options_of(32));
  const RowId row = session.add_row(), other = session.add_row();
  read(session, row, normal({70, 24}, 1));
  read(session, other, normal({3, 24}, 2));
  const std::vector<RowId> rows{other, row};
  const std::vector<int64_t> lengths{2, 4};
  session.begin_step(rows, lengths);
  EXPECT_TRUE(at::equal(session.positions(), at::tensor({3, 4, 70, 71, 72, 73}, at::kLong)));
  for (int64_t h = 0; h < 2; ++h) {
    std::vector<int64_t> expected;
    for (int64_t p = 0; p < 64; ++p) {
      // 31 was the newest token of the first update and went at the second unless the rule keeps it; 63
      // stays.
      if (keep_every_third(0, h, p) || p == 63) expected.push_back(p);
    }
    for (int64_t p = 64; p < 70; ++p) expected.push_back(p);
    EXPECT_TRUE(at::equal(session.segment(row, 1, h).positions, at::tensor(expected, at::kLong)));
  }
}

TEST(Session, HistoryAndUsageCountTokens) {
  Session session(options_of(32));
  const RowId row = session.add_row();
  read(session, row, normal({40, 24}, 1));
  ASSERT_EQ(session.kept_history(row).size(), 1u);
  // Head 0 keeps 0, 3, ..., 30 and the newest; head 1 keeps 2, 5, ..., 29 and the newest.
  const std::vector<int64_t> kept{12, 11, 12, 11};
  EXPECT_EQ(session.kept_history(row)[0], kept);
  const CacheUsage usage = session.usage(row);
  EXPECT_EQ(usage.lengths, (std::vector<int64_t>{20, 19, 20, 19}));
  EXPECT_EQ(usage.tokens, 78);
  // Exactly the kept tokens, and room for 16 where 8 new ones stand.
  EXPECT_EQ(usage.cache_bytes, (46 + 4 * 16) * 16 * 4 * 2);
}

TEST(Session, ForkSharesAndDoesNotDisturbItsParent) {
  const at::Tensor context = normal({150, 24}, 1), more = normal({60, 24}, 2), question = normal({50, 24}, 3);
  for (const int64_t period : {int64_t{0}, int64_t{32}}) {
    const Needs needs = period > 0 ? everything() : Needs{};
    Session undisturbed(options_of(period, needs));
    const RowId alone = undisturbed.add_row();
    read(undisturbed, alone, context);
    const Session::Segment before = undisturbed.segment(alone, 1, 1);
    const at::Tensor expected = read(undisturbed, alone, more);
    Session straight(options_of(period, needs));
    const RowId whole = straight.add_row();
    const at::Tensor expected_fork = read(straight, whole, at::cat({context, question})).narrow(0, 150, 50);

    Session session(options_of(period, needs));
    const RowId parent = session.add_row();
    read(session, parent, context);
    const CountingAllocator& memory = CountingAllocator::install();
    const int64_t held = memory.now();
    const RowId fork = session.fork(parent, 0, 1), unused = session.fork(parent, 0, 2);
    EXPECT_EQ(memory.now(), held) << "a fork copies nothing";
    const at::Tensor answer = read(session, fork, question);
    const Session::Segment after = session.segment(parent, 1, 1);
    EXPECT_TRUE(at::equal(before.keys, after.keys));
    EXPECT_TRUE(at::equal(before.values, after.values));
    EXPECT_TRUE(at::equal(before.positions, after.positions));
    EXPECT_EQ(session.tokens_processed(unused), 150);
    session.drop(fork);
    session.drop(unused);
    EXPECT_TRUE(at::equal(read(session, parent, more), expected)) << "period " << period;

    Comparison comparison;
    comparison.near(answer, expected_fork, tolerances::implementations::attention, true,
                    "fork against one straight row, period " + std::to_string(period));
  }
}

TEST(Session, ForksOfOneContextAnswerSideBySide) {
  const at::Tensor context = normal({100, 24}, 1);
  Session session(options_of(32, everything()));
  const RowId parent = session.add_row();
  read(session, parent, context);
  std::vector<RowId> forks;
  std::vector<at::Tensor> questions;
  for (int64_t i = 0; i < 3; ++i) {
    forks.push_back(session.fork(parent, 0, i));
    questions.push_back(normal({5 + 7 * i, 24}, 10 + static_cast<uint64_t>(i)));
  }
  const auto together = toy().step(session, forks, questions);
  for (size_t i = 0; i < forks.size(); ++i) {
    const RowId again = session.fork(parent, 0, 9);
    EXPECT_TRUE(at::equal(toy().step(session, {again}, {questions[i]})[0], together[i]));
    session.drop(again);
  }
}

TEST(Session, EvictionReturnsMemory) {
  const TransformerShape shape{4, 2, 1, 32};
  CountingAllocator& memory = CountingAllocator::install();
  const int64_t chunk = 512, tokens = 8192;
  const int64_t bytes_per_token = shape.layers * shape.kv_heads * shape.head_dim * 4 * 2;
  // The newest 512 tokens stay.
  int64_t seen = 0;
  Session session(options_of(
      chunk, {}, [&](int64_t, int64_t, int64_t p) { return p >= seen - chunk; }, shape));
  const RowId row = session.add_row();
  const at::Tensor q = normal({chunk, 2, 32}, 1), kv = normal({chunk, 1, 32}, 2);
  const int64_t before = memory.now();
  memory.reset_peak();
  for (int64_t done = 0; done < tokens; done += chunk) {
    session.begin_step(std::vector<RowId>{row}, std::vector<int64_t>{chunk});
    for (int64_t l = 0; l < shape.layers; ++l) session.attend(q, kv, kv, l, 0.2, 0);
    seen = done + chunk;
    session.update();
    EXPECT_EQ(session.usage(row).cache_bytes, chunk * bytes_per_token);
  }
  // Two chunks of cache at most, and working memory of one layer: a few copies of a chunk and a tile of
  // scores, but never the 256 MB of an 8192 x 8192 matrix.
  const int64_t predicted = 2 * chunk * bytes_per_token, measured = memory.peak() - before;
  std::printf("full cache %lld bytes, predicted peak %lld, measured peak %lld\n",
              static_cast<long long>(tokens * bytes_per_token), static_cast<long long>(predicted),
              static_cast<long long>(measured));
  EXPECT_EQ(predicted, tokens * bytes_per_token / 8);
  EXPECT_LT(measured, predicted + 3000000);
  const int64_t held = memory.now() - before;
  EXPECT_GE(held, chunk * bytes_per_token);
  EXPECT_LE(held, chunk * bytes_per_token + chunk * 8 * (shape.layers + 1))
      << "keys, values, positions, nothing else";
  session.drop(row);
  EXPECT_LT(memory.now() - before, 4096 + chunk * 8);
}

// Every byte that the session holds is one that it reports, but for the positions of what survived an update.
TEST(Session, ReportedBytesAreThoseAllocated) {
  CountingAllocator& memory = CountingAllocator::install();
  const TransformerShape shape{2, 4, 4, 8};
  const at::Tensor q = normal({32, 4, 8}, 1), kv = normal({32, 4, 8}, 2);
  Session session(options_of(
      32, {}, [](int64_t layer, int64_t head, int64_t p) { return p % (1 + layer + head) == 0; }, shape));
  const int64_t before = memory.now();
  const RowId row = session.add_row();
  int64_t packed_tokens = 0;
  for (const int64_t count : {32, 20, 1, 11, 32, 5}) {
    session.begin_step(std::vector<RowId>{row}, std::vector<int64_t>{count});
    const at::Tensor step_positions = session.positions();
    for (int64_t l = 0; l < 2; ++l) {
      session.attend(q.narrow(0, 0, count), kv.narrow(0, 0, count), kv.narrow(0, 0, count), l, 0.2, 0);
    }
    session.update();
    if (session.tokens_until_update(row) == 32) packed_tokens = session.usage(row).tokens;
    EXPECT_EQ(memory.now() - before, session.usage(row).cache_bytes + 8 * packed_tokens +
                                         static_cast<int64_t>(step_positions.nbytes()))
        << session.tokens_processed(row) << " tokens";
  }
  const int64_t held = memory.now();
  const RowId fork = session.fork(row, 0, 1);
  EXPECT_EQ(memory.now(), held);
  EXPECT_EQ(session.usage(fork).cache_bytes, session.usage(row).cache_bytes) << "shared parts count fully";
  session.drop(row);
  EXPECT_EQ(memory.now(), held) << "the fork still holds them";
  session.drop(fork);
  EXPECT_LE(memory.now() - before, 5 * 8) << "nothing but the positions of the last step";
}

TEST(Session, RecordsNothingWhereNothingNeedsAttention) {
  CountingAllocator& memory = CountingAllocator::install();
  const auto held_by = [&](const SessionOptions& options) {
    Session session(options);
    const RowId row = session.add_row();
    const int64_t before = memory.now();
    const at::Tensor out = read(session, row, normal({60, 24}, 1));
    return memory.now() - before - static_cast<int64_t>(out.nbytes()) - session.usage(row).cache_bytes;
  };
  const int64_t queries = 2 * 60 * 4 * (16 + 1) * 4;
  EXPECT_LT(held_by(options_of(64, {{}, false, true})), queries / 2);
  EXPECT_LT(held_by(options_of(0, everything())), queries / 2);
  EXPECT_GE(held_by(options_of(64, {{}, true, false})), queries);
}

TEST(Session, ObserverSeesFeaturesUnderFullCache) {
  SessionOptions options = options_of(0);
  options.extra_needs.spectrogram = SpectrogramConfig{};
  options.extra_period_tokens = 64;
  Session session(options);
  int64_t updates = 0;
  session.set_observer([&](const UpdateView& view) {
    ++updates;
    ASSERT_EQ(view.layers.size(), 2u);
    EXPECT_EQ(view.layers[1].ema.sizes(), (std::vector<int64_t>{2 * 64 * updates, 17}));
    EXPECT_FALSE(view.layers[1].column_sums.defined());
  });
  const RowId row = session.add_row();
  const at::Tensor out = read(session, row, normal({200, 24}, 1));
  EXPECT_EQ(updates, 3);
  EXPECT_EQ(session.usage(row).tokens, 200 * 4);
  Session plain(options_of(0));
  EXPECT_TRUE(at::equal(read(plain, plain.add_row(), normal({200, 24}, 1), 64), out));
}

TEST(Session, DecisionObserverSeesWhatWasDecided) {
  Session session(options_of(32));
  int64_t calls = 0;
  session.set_decision_observer([&](const UpdateView& view, const std::vector<KeepDecision>& decisions) {
    ++calls;
    ASSERT_EQ(view.layers.size(), decisions.size());
    EXPECT_EQ(decisions[0].lengths.sum().item<int64_t>(), 23);
  });
  read(session, session.add_row(), normal({40, 24}, 1));
  EXPECT_EQ(calls, 1);
}

// A policy that breaks its contract is named, nothing is corrupted.
SessionOptions options_of_policy(const std::string& name, const TransformerShape& shape, int64_t period,
                                 const Budget& budget, double recent_fraction = 0.5,
                                 int64_t window_tokens = 2) {
  PolicyArguments arguments;
  arguments.config.period_tokens = period;
  arguments.config.sinks = 0;
  arguments.config.recent_fraction = recent_fraction;
  arguments.config.snapkv_window_tokens = window_tokens;
  arguments.config.snapkv_pool_tokens = 1;
  arguments.budget = budget;
  SessionOptions options;
  options.shape = shape;
  options.policy = make_policy(name, arguments);
  return options;
}

TEST(Session, ABudgetOfBytesIsWhatTheCacheTakes) {
  constexpr int64_t kTokenBytes = 2 * 16 * 4, kBytes = 20 * 4 * kTokenBytes;
  for (const PositionMode positions : {PositionMode::original, PositionMode::compacted}) {
    SessionOptions options = options_of_policy("recency", kShape, 32, Budget::of_bytes(kBytes));
    options.positions = positions;
    if (positions == PositionMode::compacted) options.inverse_frequencies = at::logspace(0, -4, 8, 10);
    Session session(options);
    const RowId row = session.add_row();
    read(session, row, normal({64, 24}, 1));
    EXPECT_LE(session.usage(row).cache_bytes, kBytes);
    EXPECT_GT(session.usage(row).cache_bytes, kBytes - 4 * 3 * 16 * 4) << "less than a token a head is left";
  }
}

// One head whose attention is exactly that of the report: k_j = e_j, q_i[j] = ln A_ij.
TEST(Session, H2oTovaAndSnapKvAreThreeMethods) {
  const std::vector<std::vector<float>> attention = {
      {1}, {.5f, .5f}, {.1f, .8f, .1f}, {.1f, .7f, .1f, .1f}, {.2f, .1f, .5f, .1f, .1f}};
  const at::Tensor keys = at::eye(5, 8).unsqueeze(1);
  at::Tensor queries = at::zeros({5, 1, 8});
  for (size_t i = 0; i < attention.size(); ++i) {
    for (size_t j = 0; j <= i; ++j)
      queries[static_cast<int64_t>(i)][0][static_cast<int64_t>(j)] = std::log(attention[i][j]);
  }
  for (const Backend backend : {Backend::cpu, Backend::reference}) {
    UpdateView seen;
    const auto kept = [&](const char* policy, int64_t tokens, double recent_fraction) {
      SessionOptions options =
          options_of_policy(policy, {1, 1, 1, 8}, 5, Budget::of_tokens(tokens), recent_fraction);
      options.backend = backend;
      Session session(options);
      session.set_observer([&](const UpdateView& view) { seen = view; });
      const RowId row = session.add_row();
      session.begin_step(std::vector<RowId>{row}, std::vector<int64_t>{5});
      session.attend(queries, keys, keys, 0, 1.0, 0);
      session.update();
      const at::Tensor positions = session.segment(row, 0, 0).positions;
      return std::vector<int64_t>(positions.const_data_ptr<int64_t>(),
                                  positions.const_data_ptr<int64_t>() + positions.numel());
    };
    using Positions = std::vector<int64_t>;
    Comparison compared;
    EXPECT_EQ(kept("h2o", 3, 0), (Positions{0, 1, 4}));
    compared.absolute(seen.layers[0].column_sums, at::tensor({1.9f, 2.1f, 0.7f, 0.2f, 0.1f}), 1e-5, "h2o");
    EXPECT_EQ(kept("tova", 3, 0), (Positions{0, 2, 4}));
    compared.absolute(seen.layers[0].recent_attention, at::tensor({0.2f, 0.1f, 0.5f, 0.1f, 0.1f}), 1e-5,
                      "tova");
    EXPECT_EQ(kept("snapkv", 3, 0), (Positions{1, 3, 4}));
    compared.absolute(seen.layers[0].recent_attention, at::tensor({0.3f, 0.8f, 0.6f, 0.2f, 0.1f}), 1e-5,
                      "snapkv");
    EXPECT_EQ(kept("h2o", 4, 0.5), (Positions{0, 1, 3, 4}));
    EXPECT_EQ(kept("snapkv", 4, 0), (Positions{1, 2, 3, 4}));
  }
}

// Norms of 16 and 16.002 are one number in bfloat16.
TEST(Session, ScoresOfBfloat16KeysAreFloat32) {
  SessionOptions options = options_of_policy("l2", {1, 1, 1, 128}, 3, Budget::of_tokens(2));
  options.dtype = at::kBFloat16;
  Session session(options);
  const RowId row = session.add_row();
  at::Tensor keys = at::zeros({3, 1, 128}, at::kBFloat16);
  keys.select(2, 0).copy_(at::tensor({16.f, 16.f, 99.f}).unsqueeze(1));
  keys[0][0][1] = 0.25;
  session.begin_step(std::vector<RowId>{row}, std::vector<int64_t>{3});
  session.attend(keys, keys, keys, 0, 1e-3, 0);
  session.update();
  EXPECT_TRUE(at::equal(session.segment(row, 0, 0).positions, at::tensor({1, 2}, at::kLong)));

  SessionOptions random = options_of_policy("full", {1, 1, 1, 128}, 512, Budget::of_tokens(2));
  random.dtype = at::kBFloat16;
  random.extra_period_tokens = 512;
  random.extra_needs = {.spectrogram = SpectrogramConfig{},
                        .column_sums = true,
                        .key_norms = true,
                        .recent_queries = 8,
                        .key_similarity = true,
                        .expected_attention = true};
  Session other(random);
  at::Tensor norms;
  other.set_observer([&](const UpdateView& view) {
    const LayerView& layer = view.layers[0];
    norms = layer.key_norms;
    for (const at::Tensor& x : {layer.ema, layer.column_sums, layer.key_norms, layer.recent_attention,
                                layer.key_similarity, layer.expected_attention})
      EXPECT_EQ(x.scalar_type(), at::kFloat);
  });
  const RowId many = other.add_row();
  const at::Tensor drawn = normal({512, 1, 128}, 0, at::kBFloat16);
  other.begin_step(std::vector<RowId>{many}, std::vector<int64_t>{512});
  other.attend(drawn, drawn, drawn, 0, 0.1, 0);
  other.update();
  EXPECT_EQ(std::get<0>(at::_unique(norms)).numel(), 512);
  EXPECT_LT(std::get<0>(at::_unique(norms.to(at::kBFloat16))).numel(), 100);
}

// Whole sessions, with the attention that the policies look at, beside the full cache: no matrix of a
// prompt's queries and keys, and a peak that falls with the cache. Tensors of this size are all LibTorch's,
// so counted.
TEST(Session, EvictionLowersThePeakWhateverThePolicyNeeds) {
  const TransformerShape shape{8, 4, 1, 16};
  constexpr int64_t kChunk = 512, kTokens = 8192, kBudget = 512;
  const at::Tensor q = normal({kChunk, 4, 16}, 1), kv = normal({kChunk, 1, 16}, 2);
  CountingAllocator& memory = CountingAllocator::install();
  const auto peak = [&](const char* policy) {
    Session session(options_of_policy(policy, shape, kChunk, Budget::of_tokens(kBudget)));
    const int64_t before = memory.now();
    memory.reset_peak();
    const RowId row = session.add_row();
    for (int64_t done = 0; done < kTokens; done += kChunk) {
      session.begin_step(std::vector<RowId>{row}, std::vector<int64_t>{kChunk});
      for (int64_t l = 0; l < shape.layers; ++l) session.attend(q, kv, kv, l, 0.2, 0);
      session.update();
    }
    return memory.peak() - before;
  };
  const int64_t token_bytes = shape.layers * 2 * 16 * 4;
  const int64_t full = peak("full");
  EXPECT_GE(full, kTokens * token_bytes);
  // Cache before an update, the period's queries and log-sum-exps, and a layer's working memory.
  const int64_t queries = shape.layers * kChunk * 4 * (16 + 1) * 4;
  const int64_t predicted = (kBudget + kChunk) * token_bytes + queries + 2000000;
  for (const char* policy : {"h2o", "snapkv", "tova", "l2", "keydiff", "expected-attention"}) {
    const int64_t measured = peak(policy);
    EXPECT_LE(measured, predicted) << policy;
    EXPECT_LT(measured, full / 2) << policy;
  }
}

TEST(Session, ProtectedTokensOutliveEveryUpdate) {
  SessionOptions options;
  options.shape = kShape;
  options.policy = make_policy("recency", [] {
    PolicyArguments arguments;
    arguments.config.period_tokens = 32;
    arguments.config.sinks = 0;
    arguments.budget = Budget::of_tokens(10);
    return arguments;
  }());
  options.protect = {.sinks = 2, .recent_tokens = 3, .text = {}};
  Session session(options);
  const RowId row = session.add_row(), plain = session.add_row();
  const std::vector<TokenSpan> spans = {{7, 20}, {40, 42}};
  session.protect(row, spans);
  read(session, row, normal({32, 24}, 1));
  // 2 sinks, 13 marked, 3 recent: 8 more than the budget, in each of four heads.
  EXPECT_EQ(session.usage(row).lengths, (std::vector<int64_t>{18, 18, 18, 18}));
  EXPECT_EQ(session.usage(row).excess_tokens, 4 * 8);
  const RowId fork = session.fork(row, 0, 0);
  read(session, fork, normal({32, 24}, 2));
  EXPECT_EQ(session.usage(fork).excess_tokens, 4 * 10) << "40 and 41 are marked too";
  const at::Tensor positions = session.segment(fork, 1, 1).positions;
  EXPECT_TRUE(at::equal(positions,
                        at::cat({at::arange(2), at::arange(7, 20), at::arange(40, 42), at::arange(61, 64)})));
  read(session, plain, normal({32, 24}, 1));
  EXPECT_EQ(session.usage(plain).lengths, (std::vector<int64_t>{10, 10, 10, 10}));
  EXPECT_EQ(session.usage(plain).excess_tokens, 0);
  EXPECT_TRUE(
      at::equal(session.segment(plain, 0, 0).positions, at::cat({at::arange(2), at::arange(24, 32)})));
  EXPECT_NE(error_of([&] { session.protect(row, std::vector<TokenSpan>{{5, 4}}); }), "no error");
  EXPECT_NE(error_of([&] { session.protect(row, std::vector<TokenSpan>{{-1, 4}}); }), "no error");
}

// A policy that does not know of protection harms nobody.
TEST(Session, APolicyThatForgetsWhatIsProtectedIsRefused) {
  SessionOptions options = options_of(32);
  options.policy = std::make_shared<TestPolicy>(32, Needs{}, keep_every_third);
  options.protect.sinks = 2;
  Session session(options);
  const RowId row = session.add_row();
  EXPECT_THAT(error_of([&] {
                read(session, row, normal({32, 24}, 1));
              }),
              HasSubstr("protected tokens must be kept"));
  EXPECT_EQ(session.usage(row).tokens, 32 * 4);
}

TEST(Session, WrongDecisionsAreRefused) {
  struct Wrong : TestPolicy {
    using TestPolicy::TestPolicy;
    std::function<void(std::vector<KeepDecision>&)> spoil;
    std::vector<KeepDecision> decide(const UpdateView& view) const override {
      auto decisions = TestPolicy::decide(view);
      spoil(decisions);
      return decisions;
    }
  };
  const auto message = [](std::function<void(std::vector<KeepDecision>&)> spoil) {
    auto policy = std::make_shared<Wrong>(32, Needs{}, keep_every_third);
    policy->spoil = std::move(spoil);
    SessionOptions options;
    options.shape = kShape;
    options.policy = policy;
    Session session(options);
    const RowId row = session.add_row();
    const std::string error = error_of([&] { read(session, row, normal({32, 24}, 1)); });
    EXPECT_EQ(session.usage(row).tokens, 32 * 4);
    return error;
  };
  EXPECT_THAT(message([](auto& d) { d.pop_back(); }), HasSubstr("decided on 1 of 2 layers"));
  EXPECT_THAT(message([](auto& d) { d[1].keep = d[1].keep.narrow(0, 0, 9); }),
              HasSubstr("layer 1: keep must be bool [64]"));
  EXPECT_THAT(message([](auto& d) { d[0].lengths.add_(1); }),
              HasSubstr("lengths says 13 tokens, keep marks 12"));
  EXPECT_THAT(message([](auto& d) {
                d[0].keep.index_put_({at::tensor(31)}, false);
                d[0].lengths[0][0].sub_(1);
              }),
              HasSubstr("the newest token must be kept"));
}

// The last layer fails: no row of the step may go on, whatever it has read.
TEST(Session, RowsOfALayerThatFailedAreLost) {
  Session session(options_of(32));
  const RowId a = session.add_row(), b = session.add_row();
  const at::Tensor q = normal({4, 4, 16}, 1), kv = normal({4, 2, 16}, 2);
  const std::vector<RowId> rows{a, b};
  session.begin_step(rows, std::vector<int64_t>{2, 2});
  session.attend(q, kv, kv, 0, 1.0, 0);
  // Passes every check and cannot be copied into the cache.
  const at::Tensor unusable = kv.to_sparse();
  EXPECT_NE(error_of([&] { session.attend(q, unusable, kv, 1, 1.0, 0); }), "no error");
  EXPECT_THAT(error_of([&] { session.attend(q, kv, kv, 1, 1.0, 0); }), HasSubstr("no step is open"));
  EXPECT_THAT(error_of([&] { session.fork(a, 0, 0); }), HasSubstr("in the middle of a step"));
  for (const RowId row : rows) {
    EXPECT_THAT(error_of([&] { session.begin_step(std::vector<RowId>{row}, std::vector<int64_t>{1}); }),
                HasSubstr("given up before its end"));
  }
  read(session, session.add_row(), normal({40, 24}, 1));
}

TEST(Session, RowsOfAnUpdateThatFailedAreLost) {
  Session session(options_of(32));
  const RowId row = session.add_row();
  // Layer 0 is compacted, layer 1 cannot be: its decision is no longer what was checked.
  session.set_decision_observer([](const UpdateView&, const std::vector<KeepDecision>& decisions) {
    at::Tensor keep = decisions[1].keep;
    keep.zero_();
  });
  EXPECT_NE(error_of([&] { read(session, row, normal({32, 24}, 1)); }), "no error");
  session.set_decision_observer(nullptr);
  session.update();
  EXPECT_TRUE(session.kept_history(row).empty()) << "a torn row is never due";
  EXPECT_THAT(error_of([&] { session.begin_step(std::vector<RowId>{row}, std::vector<int64_t>{1}); }),
              HasSubstr("given up before its end"));
}

// Nothing is compacted before the policy has decided: the update can be tried again.
TEST(Session, APolicyThatThrowsHarmsNothing) {
  struct Throws : TestPolicy {
    using TestPolicy::TestPolicy;
    mutable bool now = true;
    std::vector<KeepDecision> decide(const UpdateView& view) const override {
      TORCH_CHECK(!std::exchange(now, false), "not now");
      return TestPolicy::decide(view);
    }
  };
  SessionOptions options = options_of(32);
  options.policy = std::make_shared<Throws>(32, Needs{}, keep_every_third);
  Session session(options), undisturbed(options_of(32));
  const RowId row = session.add_row(), other = undisturbed.add_row();
  const at::Tensor input = normal({32, 24}, 1), more = normal({20, 24}, 2);
  EXPECT_THAT(error_of([&] { read(session, row, input); }), HasSubstr("not now"));
  session.update();
  read(undisturbed, other, input);
  EXPECT_EQ(session.kept_history(row), undisturbed.kept_history(other));
  EXPECT_TRUE(at::equal(read(session, row, more), read(undisturbed, other, more)));
}

TEST(Session, WrongCallsAreRefused) {
  Session session(options_of(32));
  const RowId row = session.add_row(), other = session.add_row();
  const auto begin = [&](std::vector<RowId> rows, std::vector<int64_t> lengths) {
    return error_of([&] { session.begin_step(rows, lengths); });
  };
  const at::Tensor q = normal({3, 4, 16}, 1), kv = normal({3, 2, 16}, 2);
  const auto attend = [&](int64_t layer, const at::Tensor& queries, const at::Tensor& keys) {
    return error_of([&] { session.attend(queries, keys, keys, layer, 1.0, 0); });
  };
  EXPECT_THAT(attend(0, q, kv), HasSubstr("no step is open"));
  EXPECT_THAT(begin({7}, {1}), HasSubstr("there is no row 7"));
  EXPECT_THAT(begin({row, row}, {1, 1}), HasSubstr("named twice"));
  EXPECT_THAT(begin({row}, {0}), HasSubstr("brings 0 tokens"));
  EXPECT_THAT(begin({row, other}, {1}), HasSubstr("2 rows and 1 lengths"));
  EXPECT_THAT(begin({}, {}), HasSubstr("at least one row"));
  EXPECT_THAT(begin({row}, {33}), HasSubstr("across a multiple of the period of 32"));
  EXPECT_THAT(attend(0, q, kv), HasSubstr("no step is open")) << "a refused step must not stay open";

  EXPECT_EQ(begin({row}, {3}), "no error");
  EXPECT_THAT(attend(1, q, kv), HasSubstr("layer 1 attends where layer 0 is next"));
  EXPECT_THAT(attend(0, q.narrow(0, 0, 2), kv), HasSubstr("q must be [3, 4, 16]"));
  EXPECT_THAT(attend(0, q, q), HasSubstr("k must be [3, 2, 16]"));
  EXPECT_THAT(attend(0, q.to(at::kBFloat16), kv), HasSubstr("q must be Float"));
  EXPECT_EQ(attend(0, q, kv), "no error");
  EXPECT_THAT(attend(0, q, kv), HasSubstr("layer 0 attends where layer 1 is next"));
  EXPECT_THAT(error_of([&] { session.fork(row, 0, 0); }), HasSubstr("in the middle of a step"));

  // The model failed inside the step: the row is lost, the others go on.
  EXPECT_EQ(begin({other}, {3}), "no error");
  EXPECT_EQ(attend(0, q, kv), "no error");
  EXPECT_EQ(attend(1, q, kv), "no error");
  EXPECT_THAT(attend(2, q, kv), HasSubstr("no step is open"));
  EXPECT_THAT(begin({row}, {1}), HasSubstr("given up before its end"));
  EXPECT_EQ(session.tokens_processed(row), 0);
  EXPECT_EQ(session.tokens_processed(other), 3);
  session.drop(row);
  EXPECT_THAT(begin({row}, {1}), HasSubstr("there is no row"));

  read(session, other, normal({28, 24}, 1));
  toy().step(session, {other}, {normal({1, 24}, 2)});
  EXPECT_EQ(session.tokens_until_update(other), 0);
  EXPECT_THAT(begin({other}, {1}), HasSubstr("due for update()"));
  session.update();
  EXPECT_EQ(session.tokens_until_update(other), 32);
}

TEST(Session, WrongOptionsAreRefused) {
  const auto message = [](const SessionOptions& options) {
    return error_of([&] { Session session(options); });
  };
  SessionOptions options = options_of(32);
  options.policy = nullptr;
  EXPECT_THAT(message(options), HasSubstr("a policy is missing"));
  EXPECT_THAT(message(options_of(32, {}, keep_all, {2, 5, 2, 16})), HasSubstr("KV heads divide heads"));
  EXPECT_THAT(message(options_of(40, everything())),
              HasSubstr("the hop of 16 queries must divide the period of 40"));
  options = options_of(32, everything());
  options.extra_needs.spectrogram = SpectrogramConfig{.n_fft = 16, .hop_length = 8};
  EXPECT_THAT(message(options), HasSubstr("different spectrograms"));
}

TEST(Attend, HandlesOfDeadSessionsAreRecognised) {
  auto session = std::make_unique<Session>(options_of(0));
  const at::Tensor handle = session->handle().clone();
  EXPECT_EQ(&session_of(handle.item<int64_t>()), session.get());
  session.reset();
  const Session next(options_of(0));  // takes the same place in the table
  EXPECT_NE(next.handle().item<int64_t>(), handle.item<int64_t>());
  EXPECT_THAT(error_of([&] { session_of(handle.item<int64_t>()); }), HasSubstr("is gone"));
  for (const int64_t nonsense :
       {int64_t{0}, int64_t{-1}, int64_t{1} << 40, std::numeric_limits<int64_t>::max()}) {
    EXPECT_THAT(error_of([&] { session_of(nonsense); }), HasSubstr("[attend] session"));
  }
}

TEST(Attend, OperatorReachesTheSession) {
  register_operators();
  register_operators();
  const c10::OperatorHandle op = c10::Dispatcher::singleton().findSchemaOrThrow("namm::attend", "");
  ASSERT_NE(op.schema().arguments()[0].alias_info(), nullptr);
  EXPECT_TRUE(op.schema().arguments()[0].alias_info()->isWrite()) << "without it TorchScript drops calls";
  const auto call = op.typed<at::Tensor(at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                        int64_t, double, int64_t)>();
  Session by_operator(options_of(0)), direct(options_of(0));
  const RowId a = by_operator.add_row(), b = direct.add_row();
  at::Tensor handle = by_operator.handle();
  const at::Tensor q = normal({5, 4, 16}, 1), k = normal({5, 2, 16}, 2), v = normal({5, 2, 16}, 3);
  by_operator.begin_step(std::vector<RowId>{a}, std::vector<int64_t>{5});
  direct.begin_step(std::vector<RowId>{b}, std::vector<int64_t>{5});
  for (int64_t l = 0; l < 2; ++l) {
    EXPECT_TRUE(at::equal(call.call(handle, q, k, v, l, 0.25, 0), direct.attend(q, k, v, l, 0.25, 0)));
  }
  EXPECT_EQ(by_operator.tokens_processed(a), 5);
  at::Tensor wrong = at::zeros({2}, at::kLong);
  EXPECT_THAT(error_of([&] { call.call(wrong, q, k, v, 0, 0.25, 0); }),
              HasSubstr("session must be an int64 CPU tensor [1]"));
}

TEST(Session, SessionsRunSideBySideInThreads) {
  const at::Tensor input = normal({200, 24}, 1);
  const auto run = [&] {
    Session session(options_of(32, everything()));
    return read(session, session.add_row(), input, 7);
  };
  const at::Tensor expected = run();
  std::vector<at::Tensor> results(4);
  std::vector<std::thread> threads;
  for (at::Tensor& result : results) threads.emplace_back([&] { result = run(); });
  for (std::thread& thread : threads) thread.join();
  for (const at::Tensor& result : results) EXPECT_TRUE(at::equal(result, expected));
}

// Not asserted: the time of one layer's attention.
TEST(Session, PrintsTimes) {
  const auto time = [](const char* name, const TransformerShape& shape, int64_t rows, int64_t cached,
                       int64_t tokens, int64_t period, int repeats) {
    Session session(options_of(period, period > 0 ? everything() : Needs{}, keep_every_third, shape));
    std::vector<RowId> ids;
    for (int64_t r = 0; r < rows; ++r) ids.push_back(session.add_row());
    const auto step = [&](int64_t n) {
      const at::Tensor q = normal({rows * n, shape.heads, shape.head_dim}, 1);
      const at::Tensor kv = normal({rows * n, shape.kv_heads, shape.head_dim}, 2);
      session.begin_step(ids, std::vector<int64_t>(ids.size(), n));
      const auto start = std::chrono::steady_clock::now();
      for (int64_t l = 0; l < shape.layers; ++l) session.attend(q, kv, kv, l, 0.125, 0);
      return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() /
             static_cast<double>(shape.layers);
    };
    while (session.tokens_processed(ids[0]) < cached) {
      step(std::min(cached - session.tokens_processed(ids[0]),
                    std::min<int64_t>(512, session.tokens_until_update(ids[0]))));
      session.update();
    }
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < repeats; ++i) best = std::min(best, step(tokens));
    std::printf("%-48s %10.1f us a layer\n", name, best);
  };
  time("9/3 heads, d 64, 512 tokens after 1024", {2, 9, 3, 64}, 1, 1024, 512, 0, 2);
  time("9/3 heads, d 64, decoding after 2048", {2, 9, 3, 64}, 1, 2048, 1, 0, 20);
  time("9/3 heads, d 64, decoding after 2048, ragged", {2, 9, 3, 64}, 1, 2048, 1, 512, 20);
  time("4/2 heads, d 32, 16 rows of 128 after 512, ragged", {2, 4, 2, 32}, 16, 512, 128, 512, 2);
  time("4/2 heads, d 32, 16 rows decoding after 512, ragged", {2, 4, 2, 32}, 16, 512, 1, 512, 20);
}

}  // namespace
}  // namespace namm::memory
