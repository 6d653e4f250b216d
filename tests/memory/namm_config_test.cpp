#include "memory/namm_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "memory/affine_rows.h"
#include "memory/mlp_scorer.h"
#include "memory/policy_list.h"
#include "tests/support/compare_tensors.h"
#include "tests/support/tolerances.h"

namespace namm::memory {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

NammConfig read(const std::string& text) {
  return read_config<NammConfig>(ConfigDocument::from_text(text, "memory.yaml"));
}

TEST(NammConfig, ParameterCountsFollow) {
  EXPECT_EQ(read("{}").parameters(), 4172);
  EXPECT_EQ(read("features: dc_only").parameters(), 9 * 96 + 96 + 32 * 18 + 18 + 9 + 1);
  EXPECT_EQ(read("features: log_magnitude").parameters(), 4172);
  EXPECT_EQ(read("features: complex").parameters(), 40 * 96 + 96 + 32 * 80 + 80 + 40 + 1);
  EXPECT_FALSE(read("{}").needed_spectrogram().is_complex);
  EXPECT_EQ(read("scorer: linear").parameters(), 26);
  EXPECT_EQ(read("scorer: mlp").parameters(), 25 * 32 + 32 + 32 + 1);
  EXPECT_EQ(read("{scorer: mlp, mlp: {hidden_layers: 2, hidden_dim: 8}}").parameters(),
            25 * 8 + 8 + 8 * 8 + 8 + 8 + 1);
  const std::string own = "transformer: {layers: 30, kv_heads: 3}";
  EXPECT_EQ(read("{parameters: per_layer, " + own + "}").parameters(), 30 * 4172);
  EXPECT_EQ(read("{parameters: per_head, scorer: linear, " + own + "}").parameters(), 90 * 26);
  EXPECT_EQ(read("{scorer: mix, " + own + "}").parameters(), 90 + 17 + 8 + 1);
  EXPECT_EQ(read("{scorer: mix, mix: {rank: 2}, " + own + "}").parameters(), 2 * (90 + 17) + 8 + 1);
}

TEST(NammConfig, LayoutsHaveNoHoles) {
  for (const std::string text :
       {"{}", "scorer: linear", "scorer: mlp", "{scorer: mlp, mlp: {hidden_layers: 3}}",
        "{parameters: per_layer, transformer: {layers: 2}}",
        "{parameters: per_head, scorer: mlp, transformer: {layers: 2, kv_heads: 3}}",
        "{scorer: mix, mix: {rank: 2}, transformer: {layers: 2, kv_heads: 3}}"}) {
    const NammConfig config = read(text);
    int64_t next = 0;
    std::vector<int64_t> biases;
    for (const ParameterBlock& block : config.layout()) {
      EXPECT_EQ(block.offset, next) << text << ": " << block.name;
      if (block.name.ends_with("score.bias")) biases.push_back(block.offset);
      next += block.rows * block.cols;
    }
    EXPECT_EQ(next, config.parameters()) << text;
    EXPECT_EQ(config.score_biases(), biases) << text;
  }
  EXPECT_EQ(read("{parameters: per_head, scorer: linear, transformer: {layers: 2, kv_heads: 3}}").layout()[8],
            (ParameterBlock{"layer_1.head_1.score.weight", 4 * 26, 25, 1}));
}

TEST(NammConfig, WhatDoesNotGoTogetherIsRefused) {
  const auto refused = [](const std::string& text, const std::string& place, const std::string& why) {
    EXPECT_THAT([&] { read(text); },
                ThrowsMessage<ConfigError>(::testing::AllOf(HasSubstr(place), HasSubstr(why))))
        << text;
  };
  refused("scorer: mix", "memory.yaml:1:9", "transformer");
  refused("parameters: per_layer", "memory.yaml:1:13", "transformer");
  refused("{parameters: per_head, transformer: {layers: 3}}", "memory.yaml:1:14", "transformer");
  refused("scorer: mix\nparameters: per_layer\ntransformer: {layers: 3, kv_heads: 2}", "memory.yaml:2:13",
          "shared");
  refused("mlp: {hidden_dim: 8}", "memory.yaml:1", "scorer is bam");
  refused("scorer: linear\nmix: {keep_fraction: 0.5}", "memory.yaml:2", "scorer is linear");
  refused("scorer: bamm", "memory.yaml:1:9", "one of bam, mlp, linear, mix");
  refused("features: phase", "memory.yaml:1:11", "one of magnitude, log_magnitude, complex, dc_only");
  refused("{parameters: per_head, bam: {hidden_dim: 4096}, transformer: {layers: 4096, kv_heads: 4096}}",
          "memory.yaml:1:14", "more than can be evolved");
}

TEST(NammConfig, AnotherTransformerIsRefused) {
  const NammConfig mix = read("{scorer: mix, transformer: {layers: 30, kv_heads: 3}}");
  EXPECT_NO_THROW(mix.require_transformer({30, 9, 3, 64}, "x"));
  EXPECT_THAT(
      [&] {
        mix.require_transformer({4, 8, 4, 32}, "m.h5");
      },
      ThrowsMessage<DataError>(::testing::AllOf(HasSubstr("m.h5"), HasSubstr("30 layers of 3 KV heads"),
                                                HasSubstr("4 layers of 4 KV heads"))));
  const NammConfig layers = read("{parameters: per_layer, transformer: {layers: 4}}");
  EXPECT_NO_THROW(layers.require_transformer({4, 8, 4, 32}, "x"));
  EXPECT_THROW(layers.require_transformer({5, 8, 4, 32}, "x"), DataError);
  EXPECT_NO_THROW(read("{}").require_transformer({5, 8, 4, 32}, "x"));
}

// Memory files and runs of before carry this hash.
TEST(NammConfig, DefaultsHashAsTheyDidBeforeTheFamily) {
  const ConfigValue stored = stored_form(write_config(NammConfig{}));
  EXPECT_EQ(to_yaml(stored), R"(period_tokens: 512
heads: ragged
cache_cap: 0
spectrogram:
  n_fft: 32
  hop_length: 16
  ema_coefficient: 0.99
  attention_dtype: float32
recency:
  dimension: 8
  max_frequency: 50000.0
bam:
  hidden_dim: 32
  heads: 1
  bias: true
  mult: true
)");
  NammConfig mix = read("{scorer: mix, features: log_magnitude, transformer: {layers: 30, kv_heads: 3}}");
  EXPECT_EQ(read(to_yaml(stored_form(write_config(mix)))), mix);
}

TEST(SpectralFeatures, AreWhatTheirNamesSay) {
  const at::Tensor ema = at::tensor({0.f, 1.f, 0.5f, 2.f}).view({2, 2});
  EXPECT_TRUE(at::equal(spectral_features(ema, "magnitude"), ema));
  EXPECT_TRUE(at::equal(spectral_features(ema, "dc_only"), at::tensor({0.f, 0.5f}).view({2, 1})));
  const at::Tensor logs = at::tensor({-9.2103404f, 9.9995e-5f, -0.6929472f, 0.6931972f}).view({2, 2});
  namm::testing::Comparison().absolute(spectral_features(ema, "log_magnitude"), logs, 1e-6, "logarithms");
  EXPECT_TRUE(at::equal(ema, at::tensor({0.f, 1.f, 0.5f, 2.f}).view({2, 2})))
      << "the cache's own numbers stay";
  EXPECT_THROW(spectral_features(ema, "phase"), ConfigError);
}

TEST(AffineRows, ARowsBitsDoNotDependOnTheOthers) {
  at::manual_seed(4);
  for (const int64_t outputs : {1, 2, 7, 32}) {
    const at::Tensor x = at::randn({2100, 25}), weight = at::randn({25, outputs}),
                     bias = at::randn({outputs});
    const at::Tensor all = affine_rows(x, weight, bias, Backend::automatic);
    for (const auto& [first, rows] :
         {std::pair<int64_t, int64_t>{0, 1}, {1, 1}, {3, 17}, {1023, 2}, {5, 1500}, {2099, 1}}) {
      EXPECT_TRUE(at::equal(affine_rows(x.narrow(0, first, rows), weight, bias, Backend::automatic),
                            all.narrow(0, first, rows)))
          << outputs << " outputs, rows from " << first;
    }
    namm::testing::Comparison().near(
        all, affine_rows(x.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble), Backend::reference),
        tolerances::implementations::scores, true, "products");
  }
}

TEST(MlpScorer, IsThatOfTheReference) {
  namm::testing::Comparison compared;
  for (const int64_t layers : {0, 1, 3}) {
    const MlpConfig config{.hidden_layers = layers, .hidden_dim = 7};
    at::manual_seed(static_cast<uint64_t>(layers));
    const ParameterBlock last = mlp_layout(config, 25).back();
    const at::Tensor features = at::randn({90, 25}), theta = at::randn({3, last.offset + 1}) * 0.5;
    const std::vector<BamSegment> segments = {{0, 40, 2}, {40, 40, 1}, {40, 89, 0}, {89, 90, 2}};
    compared.near(mlp_scores(features, segments, theta, config),
                  mlp_scores_reference(features, segments, theta, config),
                  tolerances::implementations::scores, true, "scores");
  }
  EXPECT_EQ(compared.values, 270);
  EXPECT_THROW(mlp_scores(at::zeros({2, 25}), {{0, 2, 0}}, at::zeros({1, 25}), {.hidden_layers = 0}),
               c10::Error);
}

}  // namespace
}  // namespace namm::memory
