#include "memory/attention.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <ATen/Context.h>

#include "memory/token_features.h"
#include "tests/memory/dense_attention.h"
#include "tests/memory/random_tensors.h"
#include "tests/support/compare_tensors.h"
#include "tests/support/tolerances.h"

namespace namm::memory {
namespace {

using testing::Comparison;
using testing::dense_attention;
using testing::normal;

at::Tensor longs(std::vector<int64_t> values) {
  return at::tensor(values, at::kLong);
}

LayerCache empty_cache(const TransformerShape& shape, at::ScalarType dtype = at::kFloat) {
  return LayerCache(shape, at::TensorOptions(dtype));
}

void append_random(LayerCache& cache, const TransformerShape& shape, int64_t tokens, int64_t first_position,
                   uint64_t seed, at::ScalarType dtype = at::kFloat) {
  cache.append(normal({tokens, shape.kv_heads, shape.head_dim}, seed, dtype),
               normal({tokens, shape.kv_heads, shape.head_dim}, seed + 1, dtype), first_position);
}

// Keeps token i of head h unless (i + h) % (2 + h) == 0: every head another number, the newest always.
void evict_some(LayerCache& cache) {
  std::vector<int64_t> index, lengths;
  int64_t start = 0;
  for (int64_t h = 0; h < cache.kv_heads(); ++h) {
    const int64_t n = cache.lengths()[h];
    lengths.push_back(0);
    for (int64_t i = 0; i < n; ++i) {
      if ((i + h) % (2 + h) == 0 && i + 1 < n) continue;
      index.push_back(start + i);
      ++lengths.back();
    }
    start += n;
  }
  cache.compact(longs(index), lengths);
}

// One row's step, all its tokens.
void attend(const at::Tensor& queries, int64_t first_position, const LayerCache& cache, double scale,
            int64_t window_tokens, const at::Tensor& output, at::Tensor* log_sum_exp,
            Backend backend = Backend::automatic) {
  const AttentionRow row{&cache, first_position, 0, queries.size(0)};
  attention(queries, {&row, 1}, scale, window_tokens, output, log_sum_exp, backend);
}

// Output and log-sum-exp of the production path against the oracle.
void expect_exact(const TransformerShape& shape, const LayerCache& cache, int64_t tokens,
                  int64_t first_position, int64_t window, at::ScalarType dtype, const std::string& what) {
  const at::Tensor queries = normal({tokens, shape.heads, shape.head_dim}, 77, dtype);
  const double scale = 1.3 / std::sqrt(static_cast<double>(shape.head_dim));
  at::Tensor output = at::empty_like(queries);
  at::Tensor log_sum_exp;
  attend(queries, first_position, cache, scale, window, output, &log_sum_exp);
  const at::Tensor positions = at::arange(first_position, first_position + tokens, at::kLong);
  const at::Tensor keys = cache.packed_keys(), values = cache.packed_values(),
                   key_positions = cache.packed_positions();
  const bool exact = dtype == at::kFloat;
  Comparison comparison;
  int64_t start = 0;
  for (int64_t h = 0; h < shape.kv_heads; ++h) {
    const int64_t n = cache.lengths()[h];
    const auto dense = dense_attention(queries.narrow(1, h * shape.group(), shape.group()), positions,
                                       keys.narrow(0, start, n), values.narrow(0, start, n),
                                       key_positions.narrow(0, start, n), scale, window);
    comparison.near(
        output.narrow(1, h * shape.group(), shape.group()), dense.output,
        exact ? tolerances::implementations::attention : tolerances::implementations::attention_bfloat16,
        true, what + ", output of head " + std::to_string(h));
    comparison.near(
        log_sum_exp.narrow(0, h * shape.group(), shape.group()).t(), dense.log_sum_exp,
        exact ? tolerances::implementations::log_sum_exp : tolerances::implementations::attention_bfloat16,
        true, what + ", log-sum-exp of head " + std::to_string(h));
    start += n;
  }
}

// Uninitialised memory is NaN as long as this lives.
class NanFilledMemory {
 public:
  NanFilledMemory() {
    at::globalContext().setDeterministicAlgorithms(true, true);
    at::globalContext().setDeterministicFillUninitializedMemory(true);
  }
  ~NanFilledMemory() { at::globalContext().setDeterministicAlgorithms(false, false); }
};

TEST(Attention, EqualsDenseOnAwkwardSizes) {
  for (const TransformerShape shape : {TransformerShape{1, 4, 2, 16}, {1, 9, 3, 64}, {1, 3, 3, 32}}) {
    for (const int64_t tokens : {1, 2, 15, 16, 17, 31, 33, 127}) {
      for (const int64_t cached : {0, 1, 15, 16, 17, 31, 33, 211}) {
        LayerCache cache = empty_cache(shape);
        if (cached > 0) append_random(cache, shape, cached, 0, 3);
        append_random(cache, shape, tokens, cached, 5);
        expect_exact(shape, cache, tokens, cached, 0, at::kFloat,
                     std::to_string(tokens) + " queries after " + std::to_string(cached) + " tokens");
      }
    }
  }
}

TEST(Attention, EqualsDenseOnRaggedHeadsAndSeveralSegments) {
  const TransformerShape shape{1, 6, 3, 32};
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t tokens : {1, 15, 33, 97}) {
      LayerCache cache = empty_cache(shape, dtype);
      append_random(cache, shape, 101, 0, 11, dtype);
      evict_some(cache);
      const std::string name = std::string(at::toString(dtype)) + ", " + std::to_string(tokens) + " queries";
      LayerCache once = cache;
      append_random(once, shape, tokens, 101, 13, dtype);
      ASSERT_EQ(once.segments().size(), 2u);
      expect_exact(shape, once, tokens, 101, 0, dtype, name + ", ragged");
      append_random(once, shape, 29, 101 + tokens, 17, dtype);
      expect_exact(shape, once, 29, 101 + tokens, 0, dtype, name + ", ragged, second chunk");
      LayerCache fork = once;  // `once` still holds its last segment, so the fork starts another
      append_random(fork, shape, tokens, 130 + tokens, 19, dtype);
      ASSERT_EQ(fork.segments().size(), 3u);
      expect_exact(shape, fork, tokens, 130 + tokens, 0, dtype, name + ", forked");
    }
  }
}

TEST(Attention, EqualsDenseWithWindow) {
  const TransformerShape shape{1, 4, 2, 16};
  for (const int64_t window : {1, 7, 64, 150, 5000}) {
    LayerCache cache = empty_cache(shape);
    append_random(cache, shape, 131, 0, 11);
    evict_some(cache);
    append_random(cache, shape, 600, 131, 13);
    expect_exact(shape, cache, 600, 131, window, at::kFloat, "window of " + std::to_string(window));
  }
}

TEST(Attention, TilesEqualDenseAcrossTileBorders) {
  for (const int64_t tokens : {127, 128, 129, 257}) {
    const int64_t cached = 511;
    const at::Tensor keys = normal({cached + tokens, 16}, 1), values = normal({cached + tokens, 16}, 2);
    const at::Tensor queries = normal({tokens, 2, 16}, 3);
    const at::Tensor positions = at::arange(cached + tokens, at::kLong);
    const auto result = attention_reference(queries, positions.narrow(0, cached, tokens),
                                            {{keys, values, positions}}, 0.25, 0);
    const auto dense =
        dense_attention(queries, positions.narrow(0, cached, tokens), keys, values, positions, 0.25);
    Comparison comparison;
    comparison.near(result.output, dense.output, tolerances::implementations::attention, true, "output");
    comparison.near(result.log_sum_exp, dense.log_sum_exp, tolerances::implementations::log_sum_exp, true,
                    "log-sum-exp");
  }
}

TEST(Attention, QueriesMayBeStridedViews) {
  const TransformerShape shape{1, 4, 2, 16};
  LayerCache cache = empty_cache(shape);
  append_random(cache, shape, 20, 0, 5);
  const at::Tensor wide = normal({20, 4, 40}, 9);
  const at::Tensor view = wide.narrow(2, 8, 16);
  at::Tensor from_view = at::empty({20, 4, 16}), from_copy = at::empty({20, 4, 16});
  attend(view, 0, cache, 0.25, 0, from_view, nullptr);
  attend(view.contiguous(), 0, cache, 0.25, 0, from_copy, nullptr);
  EXPECT_TRUE(at::equal(from_view, from_copy));
}

// Kept key positions 0, 1, 5, 7; queries at 4 to 7: which keys count follows from positions, not from places
// in the cache.
TEST(Attention, MaskComparesPositions) {
  const std::vector<std::vector<int64_t>> allowed{{0, 1}, {0, 1, 5}, {0, 1, 5}, {0, 1, 5, 7}};
  const at::Tensor keys = at::zeros({4, 4}),
                   values = longs({0, 1, 5, 7}).to(at::kFloat).unsqueeze(1).expand({4, 4}).contiguous();
  const at::Tensor positions = longs({0, 1, 5, 7});
  const auto result =
      attention_reference(at::zeros({4, 1, 4}), longs({4, 5, 6, 7}), {{keys, values, positions}}, 1.0, 0);
  const at::Tensor mean = group_mean_attention(at::zeros({4, 1, 4}), result.log_sum_exp, longs({4, 5, 6, 7}),
                                               keys, positions, 1.0, 0);
  for (int64_t i = 0; i < 4; ++i) {
    double expected = 0;
    for (const int64_t p : allowed[i])
      expected += static_cast<double>(p) / static_cast<double>(allowed[i].size());
    EXPECT_NEAR(result.output[i][0][0].item<double>(), expected, 1e-6);
    for (int64_t j = 0; j < 4; ++j) {
      const bool counts = std::ranges::find(allowed[i], positions[j].item<int64_t>()) != allowed[i].end();
      EXPECT_NEAR(mean[j][i].item<double>(), counts ? 1.0 / static_cast<double>(allowed[i].size()) : 0.0,
                  1e-6);
    }
  }
}

// The same through a compacted cache, by the kernels too: heads of up to a few rows go another way than
// others.
TEST(Attention, MaskComparesPositionsAfterAnEviction) {
  for (const int64_t heads : {1, 2}) {
    for (const Backend backend : {Backend::cpu, Backend::reference}) {
      LayerCache cache = empty_cache({1, heads, 1, 4});
      cache.append(at::zeros({8, 1, 4}),
                   at::arange(8, at::kFloat).view({8, 1, 1}).expand({8, 1, 4}).contiguous(), 0);
      cache.compact(longs({0, 1, 5, 7}), {4});
      const at::Tensor queries = at::zeros({4, heads, 4}), output = at::empty({4, heads, 4});
      const AttentionRow row{&cache, 4, 0, 4};
      at::Tensor log_sum_exp;
      attention(queries, {&row, 1}, 1.0, 0, output, &log_sum_exp, backend);
      const std::vector<double> expected = {0.5, 2, 2, 3.25};
      for (int64_t i = 0; i < 4; ++i)
        EXPECT_NEAR(output[i][heads - 1][3].item<double>(), expected[static_cast<size_t>(i)], 1e-6);
      AttentionRecord record;
      record.blocks.push_back({queries, log_sum_exp, 4});
      const TokenFeatures features =
          token_features(cache, record, {1.0, 0}, 4, {.column_sums = true}, backend);
      const std::vector<double> sums = {17.0 / 12, 17.0 / 12, 11.0 / 12, 1.0 / 4};
      for (int64_t j = 0; j < 4; ++j)
        EXPECT_NEAR(features.column_sums[j].item<double>(), sums[static_cast<size_t>(j)], 1e-6);
    }
  }
}

// Two queries after two cached keys, all scores equal: a mask aligned top left would hide the cached prefix.
TEST(Attention, CachedPrefixIsSeen) {
  const TransformerShape shape{1, 1, 1, 4};
  LayerCache cache = empty_cache(shape);
  const at::Tensor values = at::arange(4, at::kFloat).view({4, 1, 1}).expand({4, 1, 4}).contiguous();
  cache.append(at::zeros({2, 1, 4}), values.narrow(0, 0, 2), 0);
  cache.append(at::zeros({2, 1, 4}), values.narrow(0, 2, 2), 2);
  at::Tensor output = at::empty({2, 1, 4});
  attend(at::zeros({2, 1, 4}), 2, cache, 1.0, 0, output, nullptr);
  EXPECT_NEAR(output[0][0][0].item<double>(), 1.0, 1e-6);
  EXPECT_NEAR(output[1][0][0].item<double>(), 1.5, 1e-6);
  at::Tensor one = at::empty({1, 1, 4});
  attend(at::zeros({1, 1, 4}), 3, cache, 1.0, 0, one, nullptr);
  EXPECT_NEAR(one[0][0][0].item<double>(), 1.5, 1e-6);
}

// A head with two keys (logits 1 and 2, values 10 and 20) beside one with four: weights .2689, .7311.
TEST(Attention, ShorterHeadIsNotPadded) {
  const TransformerShape shape{1, 2, 2, 1};
  LayerCache cache = empty_cache(shape);
  const at::Tensor logits = at::tensor({1.0f, 3.0f, 2.0f, 4.0f, 3.0f, 5.0f, 4.0f, 6.0f}).view({4, 2, 1});
  const at::Tensor values = at::tensor({10.0f, 1.0f, 20.0f, 2.0f, 30.0f, 3.0f, 40.0f, 4.0f}).view({4, 2, 1});
  cache.append(logits, values, 0);
  // Head 0 keeps its first token; its second comes with the next step, whose key the other head gets too.
  cache.compact(longs({0, 4, 5, 6, 7}), {1, 4});
  cache.append(at::tensor({2.0f, 7.0f}).view({1, 2, 1}), at::tensor({20.0f, 5.0f}).view({1, 2, 1}), 4);
  at::Tensor output = at::empty({1, 2, 1});
  attend(at::ones({1, 2, 1}), 4, cache, 1.0, 0, output, nullptr);
  EXPECT_NEAR(output[0][0][0].item<double>(), 17.310586, 1e-5);
}

TEST(Attention, FreeSlotsAreNeverRead) {
  const NanFilledMemory guard;
  ASSERT_TRUE(at::empty({64}).isnan().all().item<bool>()) << "memory is not filled, the test shows nothing";
  const TransformerShape shape{1, 4, 2, 16};
  for (const int64_t window : {0, 50}) {
    LayerCache cache = empty_cache(shape);
    append_random(cache, shape, 37, 0, 3);  // room for 48
    ASSERT_TRUE(cache.segments()[0]->keys.isnan().any().item<bool>());
    expect_exact(shape, cache, 37, 0, window, at::kFloat, "free slots");
    append_random(cache, shape, 5, 37, 5);
    expect_exact(shape, cache, 5, 37, window, at::kFloat, "free slots, second chunk");
    evict_some(cache);
    append_random(cache, shape, 1, 42, 7);
    expect_exact(shape, cache, 1, 42, window, at::kFloat, "free slots after an eviction");
  }
}

TEST(GroupMeanAttention, EqualsDenseProbabilities) {
  Comparison comparison;
  for (const int64_t tokens : {1, 16, 33, 67}) {
    for (const int64_t n : {1, 17, 127, 128, 129, 300}) {
      const at::Tensor queries = normal({tokens, 3, 16}, 1), keys = normal({n, 16}, 2),
                       values = normal({n, 16}, 3);
      // Keys 2 apart, so some are newer than some of the queries.
      const at::Tensor key_positions = at::arange(n, at::kLong) * 2;
      const at::Tensor query_positions = at::arange(n, n + tokens, at::kLong);
      for (const int64_t window : {0, 40}) {
        if (window > 0 && n < 100) continue;  // a query must see a key
        const auto dense =
            dense_attention(queries, query_positions, keys, values, key_positions, 0.3, window);
        const at::Tensor mean = group_mean_attention(queries, dense.log_sum_exp.to(at::kFloat),
                                                     query_positions, keys, key_positions, 0.3, window);
        ASSERT_EQ(mean.scalar_type(), at::kFloat);
        comparison.near(mean, dense.probabilities.mean(0).t(), tolerances::implementations::attention, true,
                        "group mean");
      }
    }
  }
  EXPECT_GT(comparison.values, 0);
}

// namm-semantics 1.9: a = bf16(mean of bf16(A_r)). Here bf16 of the plain mean 0.502 would be 0.50390625.
TEST(GroupMeanAttention, RoundsEveryHeadAndThenTheMean) {
  const at::Tensor probabilities = at::tensor({0.5019f, 0.5021f}).view({1, 2});
  const at::Tensor zero = at::zeros({1, 2, 4}), key = at::zeros({1, 4}), position = longs({0});
  SpectrogramConfig config;
  const auto mean = [&] {
    return group_mean_attention(zero, probabilities.log().neg(), position, key, position, 1.0, 0, &config)
        .item<float>();
  };
  EXPECT_NEAR(mean(), 0.502f, 1e-6f);
  config.attention_dtype = "bfloat16";
  EXPECT_EQ(mean(), 0.5f);
}

// A key newer than the query may have any score: exp overflows before the mask, and nothing of it may leak.
TEST(GroupMeanAttention, HiddenKeysWithHugeScoresAreZero) {
  const at::Tensor queries = at::full({2, 1, 4}, 30.0f), keys = at::full({2, 4}, 30.0f);
  const at::Tensor mean =
      group_mean_attention(queries, at::zeros({2, 1}), longs({0, 1}), keys, longs({5, 6}), 1.0, 0);
  EXPECT_EQ(mean.abs().max().item<float>(), 0.0f);
}

TEST(LayerCache, BytesAreThoseOfTheTokens) {
  // 32 layers of 1024 tokens with 8 KV heads of 128 in bfloat16 are 128 MiB; one layer of it is 4 MiB.
  const TransformerShape shape{1, 32, 8, 128};
  LayerCache cache = empty_cache(shape, at::kBFloat16);
  append_random(cache, shape, 1024, 0, 1, at::kBFloat16);
  EXPECT_EQ(cache.bytes() * 32, 134217728);
  std::vector<int64_t> index, lengths;
  for (int64_t h = 0; h < 8; ++h) {
    for (int64_t i = h; i < 1024; i += 4) index.push_back(h * 1024 + i);
    lengths.push_back((1024 - h + 3) / 4);
  }
  cache.compact(longs(index), lengths);
  EXPECT_EQ(cache.bytes(), static_cast<int64_t>(index.size()) * 128 * 2 * 2);
  EXPECT_EQ(cache.lengths(), lengths);
}

TEST(LayerCache, RoomStaysCloseToUse) {
  const TransformerShape shape{1, 2, 2, 8};
  LayerCache cache = empty_cache(shape);
  for (int64_t i = 0; i < 700; ++i) {
    append_random(cache, shape, 1, i, 1 + i);
    const int64_t used = (i + 1) * shape.kv_heads * shape.head_dim * 2 * 4;
    EXPECT_LE(cache.bytes(), used + 64 * shape.kv_heads * shape.head_dim * 2 * 4);
  }
  EXPECT_TRUE(at::equal(cache.packed_positions(), at::arange(700, at::kLong).repeat({2})));
}

TEST(LayerCache, CompactionKeepsTheRightTokens) {
  const TransformerShape shape{1, 4, 2, 8};
  LayerCache cache = empty_cache(shape);
  const at::Tensor keys = normal({30, 2, 8}, 1), values = normal({30, 2, 8}, 2);
  cache.append(keys.narrow(0, 0, 10), values.narrow(0, 0, 10), 0);
  LayerCache other = cache;  // makes the next append start a segment
  cache.append(keys.narrow(0, 10, 20), values.narrow(0, 10, 20), 10);
  ASSERT_EQ(cache.segments().size(), 2u);
  cache.compact(longs({0, 9, 10, 29, 31, 45, 59}), {4, 3});
  EXPECT_TRUE(at::equal(cache.packed_positions(), longs({0, 9, 10, 29, 1, 15, 29})));
  EXPECT_TRUE(at::equal(cache.packed_keys().narrow(0, 0, 4),
                        keys.select(1, 0).index_select(0, longs({0, 9, 10, 29}))));
  EXPECT_TRUE(at::equal(cache.packed_values().narrow(0, 4, 3),
                        values.select(1, 1).index_select(0, longs({1, 15, 29}))));
  EXPECT_TRUE(at::equal(other.packed_positions(), at::arange(10, at::kLong).repeat({2})));
}

}  // namespace
}  // namespace namm::memory
