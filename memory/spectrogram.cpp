#include "memory/spectrogram.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "memory/cpu/spectrogram.h"
#include "memory/cpu/spectrogram_kernel.h"
#include "memory/ema_weights.h"

namespace namm::memory {

void SpectrogramConfig::check(const ConfigNode& node) const {
  if (hop_length > n_fft) {
    node.fail_entry(
        "hop_length", std::to_string(hop_length),
        "at most n_fft = " + std::to_string(n_fft) + ", or queries between two frames would not be seen");
  }
}

namespace {

void check_signal(const at::Tensor& signal, const SpectrogramConfig& config) {
  TORCH_CHECK(signal.dim() == 2 && signal.scalar_type() == at::kFloat,
              "[spectrogram] signal must be float32 [tokens, queries], is ", signal.scalar_type(), " ",
              signal.sizes());
  const int64_t queries = signal.size(1) - config.context_queries();
  TORCH_CHECK(queries >= 0 && queries % config.hop_length == 0, "[spectrogram] signal has ", signal.size(1),
              " queries: want ", config.context_queries(),
              " of context and a multiple of hop_length = ", config.hop_length);
}

void check_previous(const at::Tensor& previous, int64_t tokens, const SpectrogramConfig& config) {
  TORCH_CHECK(previous.dim() == 2 && previous.size(0) == tokens && previous.size(1) == config.numbers() &&
                  previous.scalar_type() == at::kFloat,
              "[ema] previous must be float32 [", tokens, ", ", config.numbers(), "], is ",
              previous.scalar_type(), " ", previous.sizes());
}

}  // namespace

at::Tensor round_attention(const at::Tensor& attention, const SpectrogramConfig& config) {
  return config.attention_dtype == "bfloat16" ? attention.to(at::kBFloat16).to(at::kFloat) : attention;
}

at::Tensor spectrogram(const at::Tensor& signal, const SpectrogramConfig& config) {
  check_signal(signal, config);
  const int64_t frame_count = (signal.size(1) - config.context_queries()) / config.hop_length;
  if (signal.size(0) == 0 || frame_count == 0)
    return at::zeros({signal.size(0), frame_count, config.numbers()}, signal.options());
  const at::Tensor window = at::hann_window(config.n_fft, /*periodic=*/true, signal.options());
  const at::Tensor frames = signal.unfold(/*dimension=*/1, config.n_fft, config.hop_length);
  const at::Tensor transformed = at::fft_rfft(frames * window);
  if (!config.is_complex) return transformed.abs();
  const at::Tensor parts = at::view_as_real(transformed);  // [K, R, bins, 2]
  const int64_t imaginary = config.numbers() - config.bins();
  return at::cat({parts.select(3, 0), parts.select(3, 1).narrow(2, 1, imaginary)}, 2);
}

std::vector<float> ema_weights(int64_t frames, const SpectrogramConfig& config) {
  const double beta = std::pow(config.ema_coefficient, static_cast<double>(config.hop_length));
  const float rounded_beta = static_cast<float>(beta);
  const float share = static_cast<float>(1.0 - beta);
  std::vector<float> weights(static_cast<size_t>(frames));
  for (int64_t t = 0; t < frames; ++t) {
    weights[static_cast<size_t>(t)] = std::pow(rounded_beta, static_cast<float>(frames - 1 - t)) * share;
  }
  return weights;
}

float ema_carry(int64_t frames, const SpectrogramConfig& config) {
  return static_cast<float>(
      std::pow(config.ema_coefficient, static_cast<double>(frames * config.hop_length)));
}

at::Tensor ema_update(const at::Tensor& magnitudes, const at::Tensor& previous,
                      const SpectrogramConfig& config) {
  TORCH_CHECK(magnitudes.dim() == 3 && magnitudes.size(2) == config.numbers() &&
                  magnitudes.scalar_type() == at::kFloat,
              "[ema] magnitudes must be float32 [tokens, frames, ", config.numbers(), "], are ",
              magnitudes.scalar_type(), " ", magnitudes.sizes());
  check_previous(previous, magnitudes.size(0), config);
  const int64_t frames = magnitudes.size(1);
  const at::Tensor weights = at::tensor(ema_weights(frames, config)).to(magnitudes.device());
  return (magnitudes * weights.view({frames, 1})).sum(1) + previous * ema_carry(frames, config);
}

at::Tensor spectrogram_ema(const at::Tensor& signal, const at::Tensor& previous,
                           const SpectrogramConfig& config, Backend backend) {
  check_signal(signal, config);
  check_previous(previous, signal.size(0), config);
  if (uses_cpu_kernels(backend, signal) && !config.is_complex && cpu::has_fourier_kernel(config.n_fft))
    return cpu::spectrogram_ema(signal, previous, config);
  // Tiles bound the magnitudes to about 64 MiB.
  const int64_t frames = (signal.size(1) - config.context_queries()) / config.hop_length;
  const int64_t tile =
      std::max<int64_t>(1, (int64_t{1} << 24) / std::max<int64_t>(1, frames * config.numbers()));
  at::Tensor result = at::empty({signal.size(0), config.numbers()}, signal.options());
  for (int64_t begin = 0; begin < signal.size(0); begin += tile) {
    const int64_t count = std::min(tile, signal.size(0) - begin);
    result.narrow(0, begin, count)
        .copy_(ema_update(spectrogram(signal.narrow(0, begin, count), config),
                          previous.narrow(0, begin, count), config));
  }
  return result;
}

}  // namespace namm::memory
