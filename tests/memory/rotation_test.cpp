#include "memory/rotation.h"

#include <cmath>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "memory/kv_cache.h"
#include "memory/session.h"
#include "tests/memory/toy_transformer.h"
#include "tests/support/compare_tensors.h"
#include "tests/support/tolerances.h"

namespace namm::memory {
namespace {

using testing::Comparison;
using testing::normal;

at::Tensor frequencies(int64_t head_dim, double theta) {
  return at::pow(theta, at::arange(0, head_dim, 2, at::kDouble).div_(head_dim).neg_()).to(at::kFloat);
}

at::Tensor repeated(int64_t position, int64_t n) {
  return at::full({n}, position, at::kLong);
}

// One rotation in float64, angles as the model forms them.
at::Tensor exactly_rotated(const at::Tensor& keys, const at::Tensor& positions, const at::Tensor& inverse) {
  const int64_t half = keys.size(1) / 2;
  const at::Tensor angle = (positions.to(at::kFloat).unsqueeze(1) * inverse).to(at::kDouble);
  const at::Tensor low = keys.to(at::kDouble).narrow(1, 0, half),
                   high = keys.to(at::kDouble).narrow(1, half, half);
  return at::cat({low * angle.cos() - high * angle.sin(), high * angle.cos() + low * angle.sin()}, 1);
}

// NVIDIA/kvpress#31 and #16, ggml-org/llama.cpp#3835: several moves must add up.
TEST(Rotation, AMoveIsTheRotationByTheDifference) {
  const at::Tensor inverse = frequencies(4, 10000);
  const at::Tensor raw = at::tensor({1.0f, -2.0f, 0.5f, 3.0f}).unsqueeze(0);
  const at::Tensor at7 = at::tensor({0.42540895, -2.20493054, 1.03393773, 2.85276731}).unsqueeze(0);
  const at::Tensor at3 = at::tensor({-1.0605525, -2.08908657, -0.35387624, 2.9386591}).unsqueeze(0);
  Comparison comparison;
  const at::Tensor stored = rotated(raw, repeated(0, 1), repeated(7, 1), inverse);
  comparison.absolute(stored, at7, tolerances::rotation::one_move, "stored at 7");
  comparison.absolute(rotated(stored, repeated(7, 1), repeated(3, 1), inverse), at3,
                      tolerances::rotation::one_move, "moved to 3");
  const at::Tensor at5 = rotated(stored, repeated(7, 1), repeated(5, 1), inverse);
  comparison.absolute(rotated(at5, repeated(5, 1), repeated(3, 1), inverse), at3,
                      tolerances::rotation::one_move, "moved to 5, then to 3");
}

// What the model would have given at the new place, far away and at slow and fast frequencies.
TEST(Rotation, EqualsTheModelsOwnKeyAtTheNewPlace) {
  const at::Tensor inverse = frequencies(64, 500000), raw = normal({50, 64}, 1);
  const at::Tensor from = at::arange(31000, 31050, at::kLong), to = at::arange(7, 507, 10, at::kLong);
  const at::Tensor read = exactly_rotated(raw, from, inverse).to(at::kFloat);
  Comparison comparison;
  comparison.near(rotated(read, from, to, inverse), exactly_rotated(raw, to, inverse),
                  tolerances::rotation::one_move, true, "moved");
  EXPECT_TRUE(at::equal(rotated(read, from, from, inverse), read)) << "a key that stays keeps its bits";
}

TEST(Rotation, RefusesOtherShapes) {
  const auto error = [](const at::Tensor& keys, const at::Tensor& inverse) -> std::string {
    try {
      rotated(keys, repeated(0, 3), repeated(0, 3), inverse);
    } catch (const c10::Error& e) {
      return e.what_without_backtrace();
    }
    return "no error";
  };
  EXPECT_THAT(error(normal({3, 6}, 1), frequencies(4, 10)), ::testing::HasSubstr("[rotation] keys [n, d]"));
  EXPECT_THAT(error(normal({2, 4}, 1), frequencies(4, 10)), ::testing::HasSubstr("[rotation] keys [n, d]"));
}

// The oldest and the newest token stay, 1000 times: the oldest is always moved next to the newest. Also in
// steps where nothing leaves.
TEST(CompactedPositions, AThousandMovesAddNoRounding) {
  const TransformerShape shape{1, 1, 1, 8};
  const at::Tensor inverse = frequencies(8, 10000);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor raw = normal({1001, 8}, 3);
    const at::Tensor read = exactly_rotated(raw, at::arange(1001, at::kLong), inverse).to(type);
    LayerCache cache(shape, type, {inverse, 1});
    const auto append = [&](int64_t p) { cache.append(read[p].view({1, 1, 8}), read[p].view({1, 1, 8}), p); };
    append(0);
    at::Tensor before;
    for (int64_t p = 1; p <= 1000; ++p) {
      append(p);
      if (cache.moved()) before = cache.packed_keys();
      const bool all_stay = p % 5 == 0;
      const int64_t n = cache.tokens();
      cache.compact(all_stay ? at::arange(n, at::kLong) : at::tensor({int64_t{0}, n - 1}),
                    {all_stay ? n : int64_t{2}});
      ASSERT_EQ(cache.packed_places()[0].item<int64_t>(), p + 1 - cache.tokens());
      ASSERT_EQ(cache.packed_places()[-1].item<int64_t>(), p);
      if (before.defined()) {
        ASSERT_TRUE(at::equal(cache.moved_keys_before(1)[0], before[0])) << p;
      }
    }
    const at::Tensor expected =
        exactly_rotated(exactly_rotated(read.narrow(0, 0, 1), repeated(0, 1), inverse),
                        cache.packed_places().narrow(0, 0, 1), inverse);
    Comparison comparison;
    comparison.near(
        cache.packed_keys().narrow(0, 0, 1), expected,
        type == at::kFloat ? tolerances::rotation::one_move : tolerances::implementations::attention_bfloat16,
        true, "after 1000 moves");
    const int64_t row_bytes = 8 * static_cast<int64_t>(at::elementSize(type));
    EXPECT_EQ(cache.bytes(), 3 * cache.tokens() * row_bytes) << "keys twice, values once";
  }
}

// Three of four tokens leave: what remains attends as if it had been the whole text.
TEST(CompactedPositions, SurvivorsStandAsIfNothingHadBeenBetweenThem) {
  const TransformerShape shape{1, 2, 1, 16};
  const at::Tensor inverse = frequencies(16, 10000);
  const int64_t tokens = 32;
  const at::Tensor raw_keys = normal({tokens + 1, 16}, 1), values = normal({tokens + 1, 16}, 2),
                   raw_queries = normal({2, 16}, 3);
  const at::Tensor positions = at::arange(tokens + 1, at::kLong);
  const at::Tensor read = exactly_rotated(raw_keys, positions, inverse).to(at::kFloat);
  SessionOptions options;
  options.shape = shape;
  options.policy = std::make_shared<testing::TestPolicy>(
      tokens, Needs{}, [](int64_t, int64_t, int64_t p) { return p % 4 == 0; });
  options.positions = PositionMode::compacted;
  options.inverse_frequencies = inverse;
  Session session(options);
  const RowId row = session.add_row();
  const auto at_new = [&](int64_t first, int64_t n, const at::Tensor& x) {
    return x.narrow(0, first, n).view({n, 1, 16});
  };
  session.begin_step(std::vector<RowId>{row}, std::vector<int64_t>{tokens});
  session.attend(normal({tokens, 2, 16}, 4), at_new(0, tokens, read), at_new(0, tokens, values), 0, 0.25, 0);
  session.update();
  const at::Tensor query =
      exactly_rotated(raw_queries, repeated(tokens, 2), inverse).to(at::kFloat).view({1, 2, 16});
  session.begin_step(std::vector<RowId>{row}, std::vector<int64_t>{1});
  EXPECT_EQ(session.positions().item<int64_t>(), tokens) << "queries keep the original position";
  const at::Tensor out =
      session.attend(query, at_new(tokens, 1, read), at_new(tokens, 1, values), 0, 0.25, 0);

  // The same tokens read in a row by a model that knows no others, at positions shifted by a constant.
  const at::Tensor kept = at::tensor({0, 4, 8, 12, 16, 20, 24, 28, 31, 32}, at::kLong);
  const at::Tensor keys = exactly_rotated(raw_keys.index_select(0, kept), at::arange(10, at::kLong), inverse);
  const at::Tensor q = exactly_rotated(raw_queries, repeated(9, 2), inverse);
  const at::Tensor expected = at::matmul(at::softmax(at::matmul(q, keys.t()) * 0.25, 1),
                                         values.index_select(0, kept).to(at::kDouble));
  Comparison comparison;
  comparison.near(out.view({2, 16}), expected, tolerances::implementations::attention, true, "attention");
  EXPECT_TRUE(at::equal(session.segment(row, 0, 0).positions, kept)) << "original positions";
  EXPECT_TRUE(at::equal(session.segment(row, 0, 0).places, at::arange(23, 33, at::kLong)));
}

TEST(CompactedPositions, NeedTheModelsFrequencies) {
  SessionOptions options;
  options.shape = {1, 2, 1, 16};
  options.policy =
      std::make_shared<testing::TestPolicy>(4, Needs{}, [](int64_t, int64_t, int64_t) { return true; });
  options.positions = PositionMode::compacted;
  EXPECT_THROW(Session{options}, c10::Error);
  options.inverse_frequencies = frequencies(8, 10000);
  EXPECT_THROW(Session{options}, c10::Error);
}

}  // namespace
}  // namespace namm::memory
