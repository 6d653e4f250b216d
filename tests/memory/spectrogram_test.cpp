#include "memory/spectrogram.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <ATen/CPUGeneratorImpl.h>

#include "core/errors.h"
#include "tests/support/compare_tensors.h"
#include "tests/support/tolerances.h"

namespace namm::memory {
namespace {

using namm::testing::Comparison;

at::Tensor random_signal(int64_t tokens, int64_t queries, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::rand({tokens, queries}, generator, at::kFloat);
}

TEST(Spectrogram, EqualsTheReferenceForManyShapes) {
  struct Case {
    int64_t n_fft, hop, tokens, queries;
  };
  // The released setting; odd sizes around the tiles; blocks of one, two, four hops; an odd window; a hop
  // that does not divide the window.
  const Case cases[] = {{32, 16, 1, 16},   {32, 16, 67, 512}, {32, 16, 300, 128}, {16, 16, 9, 64},
                        {64, 16, 33, 128}, {15, 5, 12, 40},   {8, 4, 7, 12},      {32, 24, 5, 96},
                        {2, 1, 3, 9},      {2, 2, 3, 8}};
  Comparison compared;
  for (const Case& c : cases) {
    SpectrogramConfig config{.n_fft = c.n_fft, .hop_length = c.hop};
    const at::Tensor signal = random_signal(c.tokens, config.context_queries() + c.queries, 7);
    const std::string what = std::to_string(c.n_fft) + "/" + std::to_string(c.hop);
    const at::Tensor previous = random_signal(c.tokens, config.bins(), 8);
    const at::Tensor expected = ema_update(spectrogram(signal, config), previous, config);
    for (const Backend backend : {Backend::automatic, Backend::reference}) {
      compared.near(spectrogram_ema(signal, previous, config, backend), expected,
                    tolerances::implementations::ema, true, what + ", " + to_string(backend));
    }
  }
  EXPECT_GT(compared.values, 15000);
}

TEST(Spectrogram, ComplexPartsAreRealOnesThenImaginaryOnes) {
  Comparison compared;
  for (const int64_t n_fft : {32, 15, 2}) {
    const SpectrogramConfig config{.n_fft = n_fft, .hop_length = 1, .is_complex = true};
    ASSERT_EQ(config.numbers(), n_fft);
    const at::Tensor signal = random_signal(3, config.context_queries() + 4, 7);
    const at::Tensor times = at::arange(n_fft, at::kDouble);
    const at::Tensor hann = (1 - (times * (2 * M_PI / static_cast<double>(n_fft))).cos()) / 2;
    const at::Tensor frames = signal.to(at::kDouble).unfold(1, n_fft, 1) * hann;  // [3, 4, n_fft]
    std::vector<at::Tensor> parts;
    for (int64_t f = 0; f < config.bins(); ++f)
      parts.push_back(
          (frames * (times * (2 * M_PI * static_cast<double>(f) / static_cast<double>(n_fft))).cos()).sum(2));
    for (int64_t f = 1; f < (n_fft + 1) / 2; ++f)
      parts.push_back(
          (frames * (times * (2 * M_PI * static_cast<double>(f) / static_cast<double>(n_fft))).sin())
              .sum(2)
              .neg());
    const at::Tensor expected = at::stack(parts, 2);
    compared.near(spectrogram(signal, config), expected, tolerances::implementations::spectrogram, true,
                  std::to_string(n_fft));
    const at::Tensor previous = random_signal(3, n_fft, 8) - 0.5;
    for (const Backend backend : {Backend::automatic, Backend::reference}) {
      compared.near(spectrogram_ema(signal, previous, config, backend),
                    ema_update(expected.to(at::kFloat), previous, config), tolerances::implementations::ema,
                    true, std::to_string(n_fft) + ", " + to_string(backend));
    }
  }
}

TEST(Spectrogram, ASegmentHasTheSameBitsWhateverStandsBesideIt) {
  const SpectrogramConfig config;
  const at::Tensor signal = random_signal(200, 16 + 512, 3), previous = random_signal(200, 17, 4);
  const at::Tensor whole = spectrogram_ema(signal, previous, config);
  for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 200}, {31, 1}, {63, 137}}) {
    EXPECT_TRUE(
        at::equal(whole.narrow(0, begin, count),
                  spectrogram_ema(signal.narrow(0, begin, count), previous.narrow(0, begin, count), config)));
  }
}

// namm-semantics, appendix A.1.
TEST(Spectrogram, AppendixVectors) {
  const SpectrogramConfig config;
  constexpr int64_t period = 64;
  const std::vector<int64_t> frequencies = {0, 1, 2, 3, 8, 16};
  const auto signal_of_period = [&](int64_t first) {  // [first + period tokens, context + period]
    const int64_t tokens = first + period;
    const at::Tensor query =
        at::arange(first - config.context_queries(), first + period, at::kDouble).unsqueeze(0);
    const at::Tensor token = at::arange(tokens, at::kDouble).unsqueeze(1);
    const at::Tensor seen = (token <= query).logical_and(query >= 0);
    return at::where(seen, 1 / (query + 1), 0.0).to(at::kFloat);
  };
  const at::Tensor first = spectrogram_ema(signal_of_period(0), at::zeros({period, 17}), config);
  const at::Tensor second =
      spectrogram_ema(signal_of_period(period), at::constant_pad_nd(first, {0, 0, 0, period}), config);

  struct Expected {
    const at::Tensor& average;
    int64_t token;
    std::vector<double> values;
  };
  const Expected table[] = {
      {first, 0, {0.477406756, 0.326722420, 0.169243546, 0.132355710, 0.079261127, 0.063667723}},
      {first, 20, {0.132731381, 0.075269585, 0.016856443, 0.009945125, 0.003835247, 0.002676809}},
      {first, 63, {2.2298e-5, 2.2298e-5, 2.2298e-5, 2.2298e-5, 2.2298e-5, 2.2298e-5}},
      {second, 0, {0.337083322, 0.214742025, 0.089820623, 0.069786787, 0.041669680, 0.033463597}},
      {second, 20, {0.155923156, 0.082579299, 0.009726497, 0.005448214, 0.002026103, 0.001406987}},
      {second, 63, {0.076083367, 0.041547977, 0.005230507, 0.002657373, 0.001021062, 0.000719901}},
      {second, 64, {0.074652698, 0.040707293, 0.005261155, 0.002618915, 0.001020790, 0.000710841}},
      {second, 100, {0.026528647, 0.015703903, 0.003845266, 0.002306855, 0.000920696, 0.000641519}}};
  for (const Expected& row : table) {
    for (size_t i = 0; i < frequencies.size(); ++i) {
      EXPECT_NEAR(row.average[row.token][frequencies[i]].item<double>(), row.values[i],
                  tolerances::appendix::ema)
          << "token " << row.token << ", frequency " << frequencies[i];
    }
  }
}

// Public report memory-15: one padding for histories shorter than the window, and a periodic window.
TEST(Spectrogram, ShortHistoriesArePaddedWithZerosOnTheLeft) {
  const SpectrogramConfig config{.n_fft = 8, .hop_length = 4};
  // Ten queries are no whole number of hops, zero queries give no frame, four give one frame, half of it
  // padding.
  EXPECT_THROW(spectrogram(at::rand({3, 4 + 10}), config), c10::Error);
  EXPECT_EQ(spectrogram(at::rand({3, 4}), config).sizes(), (std::vector<int64_t>{3, 0, 5}));
  EXPECT_EQ(spectrogram(at::zeros({0, 4 + 12}), config).sizes(), (std::vector<int64_t>{0, 3, 5}));
  EXPECT_THROW(spectrogram(at::rand({3, 3}), config), c10::Error);
  const at::Tensor previous = at::rand({3, 5});
  EXPECT_TRUE(at::equal(spectrogram_ema(at::rand({3, 4}), previous, config), previous));
  EXPECT_EQ(spectrogram_ema(at::zeros({0, 8}), at::zeros({0, 5}), config).sizes(),
            (std::vector<int64_t>{0, 5}));

  const at::Tensor young = at::constant_pad_nd(at::ones({1, 4}), {4, 0});
  // Window values at 4 ... 7 of a periodic window of 8: 1, .8536, .5, .1464.
  EXPECT_NEAR(spectrogram(young, config)[0][0][0].item<double>(), 2.5,
              tolerances::implementations::spectrogram);
  const SpectrogramConfig four{.n_fft = 4,
                               .hop_length = 4};  // periodic: 0, .5, 1, .5; symmetric would give 1.5
  EXPECT_NEAR(spectrogram(at::ones({1, 4}), four)[0][0][0].item<double>(), 2.0,
              tolerances::implementations::spectrogram);
}

TEST(Spectrogram, AttentionIsRoundedOnlyWhereAsked) {
  SpectrogramConfig config;
  const at::Tensor attention = at::tensor({0.1f, 1.0f / 3, 1.0f});
  EXPECT_TRUE(at::equal(round_attention(attention, config), attention));
  config.attention_dtype = "bfloat16";
  EXPECT_TRUE(
      at::equal(round_attention(attention, config), at::tensor({0.10009765625f, 0.333984375f, 1.0f})));
}

TEST(Spectrogram, WrongShapesAreRefused) {
  const SpectrogramConfig config;
  EXPECT_THROW(spectrogram(at::zeros({4, 16 + 16}, at::kDouble), config), c10::Error);
  EXPECT_THROW(spectrogram(at::zeros({32}), config), c10::Error);
  EXPECT_THROW(spectrogram_ema(at::zeros({4, 32}), at::zeros({3, 17}), config), c10::Error);
  EXPECT_THROW(spectrogram_ema(at::zeros({4, 32}), at::zeros({4, 16}), config), c10::Error);
  EXPECT_THROW(ema_update(at::zeros({4, 1, 16}), at::zeros({4, 17}), config), c10::Error);
}

TEST(SpectrogramConfig, RefusesAHopLongerThanTheWindow) {
  try {
    read_config<SpectrogramConfig>(ConfigDocument::from_text("n_fft: 8\nhop_length: 9\n", "test.yaml"));
    FAIL() << "was accepted";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("test.yaml:2"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("n_fft = 8"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace namm::memory
