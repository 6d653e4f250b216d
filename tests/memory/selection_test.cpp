#include "memory/selection.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/errors.h"

namespace namm::memory {
namespace {

using Indices = std::vector<int64_t>;

const float kNaN = std::numeric_limits<float>::quiet_NaN();
const float kInfinity = std::numeric_limits<float>::infinity();

// Kept indices of segment s, counted from its first token.
Indices kept(const KeepDecision& decision, const Indices& offsets, size_t s) {
  Indices result;
  for (int64_t i = offsets[s]; i < offsets[s + 1]; ++i) {
    if (decision.keep[i].item<bool>()) result.push_back(i - offsets[s]);
  }
  return result;
}

Indices lengths(const KeepDecision& decision) {
  const at::Tensor flat = decision.lengths.reshape({-1}).to(at::kLong);
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

LayerView layer_of(const Indices& offsets) {
  LayerView layer;
  layer.offsets = offsets;
  std::vector<at::Tensor> positions;
  for (size_t s = 0; s + 1 < offsets.size(); ++s)
    positions.push_back(at::arange(offsets[s + 1] - offsets[s]));
  layer.positions = at::cat(positions);
  return layer;
}

// namm-semantics 6.1, the example; the last score of each head is that of the newest token, whatever it is.
const Indices kExampleOffsets = {0, 4, 8};
at::Tensor example() {
  return at::tensor({-1.f, 2.f, -3.f, -9.f, -0.5f, -2.f, -0.1f, -9.f});
}

TEST(SelectThreshold, ParityKeepsTheMostGenerousHeadsNumber) {
  const KeepDecision decision = select_threshold(example(), kExampleOffsets, 2, HeadMode::parity);
  EXPECT_EQ(kept(decision, kExampleOffsets, 0), (Indices{1, 3}));
  EXPECT_EQ(kept(decision, kExampleOffsets, 1), (Indices{2, 3}));
  EXPECT_EQ(lengths(decision), (Indices{2, 2}));
  EXPECT_EQ(decision.lengths.scalar_type(), at::kInt);
}

TEST(SelectThreshold, RaggedKeepsEachHeadsOwnTokens) {
  const KeepDecision decision = select_threshold(example(), kExampleOffsets, 2, HeadMode::ragged);
  EXPECT_EQ(kept(decision, kExampleOffsets, 0), (Indices{1, 3}));
  EXPECT_EQ(kept(decision, kExampleOffsets, 1), (Indices{3}));
  EXPECT_EQ(lengths(decision), (Indices{2, 1}));
  const at::Tensor above = count_above(example(), kExampleOffsets, 2);
  EXPECT_TRUE(at::equal(above, at::tensor({2, 1}, at::kInt).view({1, 2})));
}

TEST(SelectThreshold, TheMaximumNeverCrossesRows) {
  // Two rows of two heads; the first row keeps 3 a head, the second 1, whichever comes first.
  const at::Tensor rich = at::tensor({1.f, 1.f, 1.f, -1.f, -1.f, -1.f}), poor = at::full({6}, -1.f);
  const Indices offsets = {0, 3, 6, 9, 12};
  EXPECT_EQ(lengths(select_threshold(at::cat({rich, poor}), offsets, 2, HeadMode::parity)),
            (Indices{3, 3, 1, 1}));
  EXPECT_EQ(lengths(select_threshold(at::cat({poor, rich}), offsets, 2, HeadMode::parity)),
            (Indices{1, 1, 3, 3}));
}

TEST(SelectThreshold, InfiniteScoresComeBehindWhatIsProtected) {
  const Indices offsets = {0, 5};
  const at::Tensor scores = at::tensor({-1.f, kInfinity, kInfinity, kInfinity, -2.f});
  const at::Tensor held = at::arange(5) == 0;
  EXPECT_EQ(kept(select_threshold(scores, offsets, 1, HeadMode::ragged, 2, held), offsets, 0),
            (Indices{0, 4}));
  EXPECT_EQ(kept(select_threshold(scores, offsets, 1, HeadMode::ragged, 3), offsets, 0), (Indices{2, 3, 4}));
}

TEST(SelectThreshold, ExactlyZeroIsKeptAndSoIsNegativeZero) {
  const Indices offsets = {0, 4};
  for (const HeadMode mode : {HeadMode::ragged, HeadMode::parity}) {
    const KeepDecision decision = select_threshold(at::tensor({0.f, -0.f, -1e-30f, -1.f}), offsets, 1, mode);
    EXPECT_EQ(kept(decision, offsets, 0), (Indices{0, 1, 3}));
    EXPECT_EQ(lengths(select_threshold(at::zeros({4}), offsets, 1, mode)), (Indices{4}));
  }
}

TEST(SelectThreshold, OnTiesTheNewerTokenIsKept) {
  // Head 0 sets K = 3; head 1 fills up with two of four equal negative scores.
  const Indices offsets = {0, 5, 10};
  const at::Tensor scores = at::tensor({1.f, 1.f, -1.f, -1.f, -1.f, -2.f, -2.f, -2.f, -2.f, -5.f});
  const KeepDecision decision = select_threshold(scores, offsets, 2, HeadMode::parity);
  EXPECT_EQ(kept(decision, offsets, 0), (Indices{0, 1, 4}));
  EXPECT_EQ(kept(decision, offsets, 1), (Indices{2, 3, 4}));
}

TEST(SelectThreshold, NanCountsAsBelowAndComesLast) {
  const Indices offsets = {0, 4, 8};
  const at::Tensor scores = at::tensor({1.f, kNaN, 1.f, kNaN, kNaN, -1.f, kNaN, kNaN});
  for (const HeadMode mode : {HeadMode::ragged, HeadMode::parity}) {
    const KeepDecision decision = select_threshold(scores, offsets, 2, mode);
    EXPECT_EQ(kept(decision, offsets, 0), (Indices{0, 2, 3}));
    EXPECT_EQ(kept(decision, offsets, 1), mode == HeadMode::ragged ? (Indices{3}) : (Indices{1, 2, 3}));
  }
  EXPECT_EQ(lengths(select_threshold(at::full({8}, kNaN), offsets, 2, HeadMode::parity)), (Indices{1, 1}));
}

TEST(SelectThreshold, InfiniteScoresDoNotPushOutTheNewest) {
  const Indices offsets = {0, 3};
  const KeepDecision decision = select_threshold(at::tensor({kInfinity, kInfinity, -kInfinity}), offsets, 1,
                                                 HeadMode::parity, /*cache_cap=*/1);
  EXPECT_EQ(kept(decision, offsets, 0), (Indices{2}));
}

TEST(SelectThreshold, OneTokenEmptySegmentsAndEmptyLayers) {
  for (const HeadMode mode : {HeadMode::ragged, HeadMode::parity}) {
    EXPECT_EQ(lengths(select_threshold(at::tensor({-1.f}), {0, 1}, 1, mode)), (Indices{1}));
    EXPECT_EQ(lengths(select_threshold(at::tensor({-1.f, -1.f}), {0, 0, 2}, 2, mode)), (Indices{0, 1}));
    EXPECT_EQ(lengths(select_threshold(at::zeros({0}), {0, 0, 0}, 2, mode)), (Indices{0, 0}));
    const KeepDecision none = select_threshold(at::zeros({0}), {0}, 2, mode);
    EXPECT_EQ(none.lengths.sizes(), (Indices{0, 2}));
  }
}

TEST(SelectThreshold, ACapKeepsTheBestOfEveryHead) {
  const Indices offsets = {0, 5, 10};
  const at::Tensor scores = at::tensor({3.f, 1.f, 2.f, 4.f, -1.f, -1.f, -2.f, -3.f, -4.f, -5.f});
  const KeepDecision parity = select_threshold(scores, offsets, 2, HeadMode::parity, 3);
  EXPECT_EQ(kept(parity, offsets, 0), (Indices{0, 3, 4}));
  EXPECT_EQ(kept(parity, offsets, 1), (Indices{0, 1, 4}));
  const KeepDecision ragged = select_threshold(scores, offsets, 2, HeadMode::ragged, 3);
  EXPECT_EQ(kept(ragged, offsets, 0), (Indices{0, 3, 4}));
  EXPECT_EQ(kept(ragged, offsets, 1), (Indices{4}));
  EXPECT_EQ(lengths(select_threshold(scores, offsets, 2, HeadMode::ragged, 100)), (Indices{5, 1}));
}

TEST(SelectTop, EqualScoresKeepTheOlderToken) {
  // Public report gpu-02.
  const Indices six = {0, 6}, ten = {0, 10};
  const std::vector<SegmentBudget> two = {{.tokens = 2, .recent = 0}}, five = {{.tokens = 5, .recent = 0}};
  const at::Tensor scores = at::tensor({7.f, 4.f, 7.f, 1.f, 7.f, 4.f});
  EXPECT_EQ(kept(select_top(scores, layer_of(six), 1, two), six, 0), (Indices{0, 2}));
  EXPECT_EQ(kept(select_top(at::ones({10}), layer_of(ten), 1, five), ten, 0), (Indices{0, 1, 2, 3, 4}));
  EXPECT_EQ(kept(select_top(at::full({10}, kNaN), layer_of(ten), 1, five), ten, 0), (Indices{0, 1, 2, 3, 4}));
}

TEST(SelectTop, HeavyHittersAndTheRecentWindowShareTheBudget) {
  // Public report memory-07: column sums of five queries.
  const Indices offsets = {0, 5};
  const at::Tensor sums = at::tensor({1.9f, 2.1f, 0.7f, 0.2f, 0.1f});
  const auto keep = [&](int64_t heavy, int64_t recent) {
    return kept(select_top(sums, layer_of(offsets), 1, {{.tokens = heavy + recent, .recent = recent}}),
                offsets, 0);
  };
  EXPECT_EQ(keep(2, 0), (Indices{0, 1}));
  EXPECT_EQ(keep(2, 1), (Indices{0, 1, 4}));
  EXPECT_EQ(keep(0, 2), (Indices{3, 4}));
  EXPECT_EQ(keep(0, 0), (Indices{}));
  EXPECT_EQ(keep(9, 1), (Indices{0, 1, 2, 3, 4}));
}

TEST(SelectTop, SumsOverAllQueriesAreNotThoseOfTheLastOnes) {
  // Public report memory-08: the same attention, three ways to sum, three different sets.
  const Indices offsets = {0, 5};
  const at::Tensor attention = at::tensor({1.f, 0.f, 0.f, 0.f, 0.f,  //
                                           .5f, .5f, 0.f, 0.f, 0.f,  //
                                           .1f, .8f, .1f, 0.f, 0.f,  //
                                           .1f, .7f, .1f, .1f, 0.f,  //
                                           .2f, .1f, .5f, .1f, .1f})
                                   .view({5, 5});
  const auto keep = [&](int64_t queries) {
    const at::Tensor sums = attention.narrow(0, 5 - queries, queries).sum(0);
    return kept(select_top(sums, layer_of(offsets), 1, {{.tokens = 2, .recent = 0}}), offsets, 0);
  };
  EXPECT_EQ(keep(5), (Indices{0, 1}));
  EXPECT_EQ(keep(1), (Indices{0, 2}));
  EXPECT_EQ(keep(2), (Indices{1, 2}));
}

TEST(SelectTop, ThePolicysOwnWindowNeverWidensTheBudget) {
  const Indices offsets = {0, 6};
  const at::Tensor scores = at::tensor({0.f, 1.f, 2.f, 3.f, 4.f, 5.f});
  const auto keep = [&](const SegmentBudget& budget) {
    return kept(select_top(scores, layer_of(offsets), 1, {budget}), offsets, 0);
  };
  EXPECT_EQ(keep({.tokens = 4, .recent = 1, .sinks = 2}), (Indices{0, 1, 4, 5}));
  EXPECT_EQ(keep({.tokens = 2, .recent = 1, .sinks = 4}), (Indices{0, 5}));
  EXPECT_EQ(keep({.tokens = 2, .recent = 4, .sinks = 4}), (Indices{4, 5}));
  EXPECT_EQ(keep({.tokens = 1, .recent = 1, .sinks = 1}), (Indices{5}));
  EXPECT_EQ(keep({.tokens = 3, .recent = 100, .sinks = 100}), (Indices{3, 4, 5}));
}

at::Tensor flags(const Indices& which, int64_t n) {
  return at::zeros({n}, at::kBool).index_fill_(0, at::tensor(which, at::kLong), true);
}

TEST(SelectTop, ProtectedTokensGoFirstAndWidenTheBudget) {
  const Indices offsets = {0, 6};
  LayerView layer = layer_of(offsets);
  layer.protected_tokens = flags({1, 2, 5}, 6);
  const at::Tensor scores = at::tensor({9.f, 0.f, kNaN, 8.f, 7.f, 0.f});
  const auto choose = [&](int64_t tokens) { return select_top(scores, layer, 1, {{.tokens = tokens}}); };
  EXPECT_EQ(kept(choose(4), offsets, 0), (Indices{0, 1, 2, 5}));
  EXPECT_EQ(choose(4).excess.item<int64_t>(), 0);
  EXPECT_EQ(kept(choose(1), offsets, 0), (Indices{1, 2, 5}));
  EXPECT_EQ(choose(1).excess.item<int64_t>(), 2);
  EXPECT_EQ(lengths(choose(1)), (Indices{3}));
  layer.protected_tokens = at::Tensor();
  EXPECT_FALSE(choose(1).excess.defined());
  layer.protected_tokens = flags({1}, 5);
  EXPECT_THROW(choose(1), c10::Error);
}

TEST(SelectThreshold, ProtectedTokensStayAndBeatTheCap) {
  const Indices offsets = {0, 4, 8};
  const at::Tensor scores = at::tensor({-1.f, kNaN, 3.f, -1.f, -1.f, -1.f, -1.f, -1.f});
  const at::Tensor guarded = flags({0, 1, 3, 7}, 8);
  const KeepDecision ragged = select_threshold(scores, offsets, 2, HeadMode::ragged, 0, guarded);
  EXPECT_EQ(kept(ragged, offsets, 0), (Indices{0, 1, 2, 3}));
  EXPECT_EQ(kept(ragged, offsets, 1), (Indices{3}));
  const KeepDecision capped = select_threshold(scores, offsets, 2, HeadMode::ragged, 2, guarded);
  EXPECT_EQ(kept(capped, offsets, 0), (Indices{0, 1, 3}));
  EXPECT_EQ(kept(capped, offsets, 1), (Indices{3}));
  EXPECT_TRUE(at::equal(capped.excess, at::tensor({1, 0}, at::kInt).view({1, 2})));
  const KeepDecision parity = select_threshold(scores, offsets, 2, HeadMode::parity, 2, guarded);
  EXPECT_EQ(lengths(parity), (Indices{3, 3}));
  EXPECT_EQ(kept(parity, offsets, 0), (Indices{0, 1, 3}));
}

TEST(SelectTop, SinksArePositionsNotIndices) {
  LayerView layer = layer_of({0, 4});
  layer.positions = at::tensor({0, 7, 8, 9}, at::kLong);  // positions 1 ... 6 are gone
  const KeepDecision decision =
      select_top(at::tensor({0.f, 0.f, 1.f, 0.f}), layer, 1, {{.tokens = 3, .recent = 1, .sinks = 2}});
  EXPECT_EQ(kept(decision, layer.offsets, 0), (Indices{0, 2, 3}));
}

TEST(SelectTop, EverySegmentHasItsOwnBudget) {
  const Indices offsets = {0, 3, 3, 7, 8};
  const std::vector<SegmentBudget> budgets = {{.tokens = 1}, {.tokens = 5}, {.tokens = 3}, {.tokens = 4}};
  const KeepDecision decision =
      select_top(at::tensor({9.f, 8.f, 7.f, 1.f, 3.f, 2.f, 0.f, 0.f}), layer_of(offsets), 2, budgets);
  EXPECT_EQ(lengths(decision), (Indices{1, 0, 3, 1}));
  EXPECT_EQ(decision.lengths.sizes(), (Indices{2, 2}));
  EXPECT_EQ(kept(decision, offsets, 0), (Indices{2}));
  EXPECT_EQ(kept(decision, offsets, 2), (Indices{1, 2, 3}));
}

TEST(Selection, WrongArgumentsAreRefused) {
  EXPECT_THROW(select_threshold(at::zeros({3}), {0, 4}, 1, HeadMode::ragged), c10::Error);
  EXPECT_THROW(select_threshold(at::zeros({3}), {0, 2, 1, 3}, 1, HeadMode::ragged), c10::Error);
  EXPECT_THROW(select_threshold(at::zeros({3}), {0, 3}, 2, HeadMode::ragged), c10::Error);
  EXPECT_THROW(select_threshold(at::zeros({3}, at::kDouble), {0, 3}, 1, HeadMode::ragged), c10::Error);
  EXPECT_THROW(select_top(at::zeros({3}), layer_of({0, 3}), 1, {}), c10::Error);
  EXPECT_THROW(select_top(at::zeros({3}), layer_of({0, 3}), 1, {{.tokens = -1}}), c10::Error);
  EXPECT_THROW(head_mode("both"), ConfigError);
  EXPECT_EQ(to_string(head_mode("parity")), "parity");
}

}  // namespace
}  // namespace namm::memory
