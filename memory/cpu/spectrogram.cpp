#include "memory/cpu/spectrogram.h"

#include <algorithm>
#include <vector>

#include "memory/cpu/parallel.h"
#include "memory/cpu/spectrogram_kernel.h"
#include "memory/ema_weights.h"

namespace namm::memory::cpu {

at::Tensor spectrogram_ema(const at::Tensor& signal, const at::Tensor& previous,
                           const SpectrogramConfig& config) {
  constexpr auto kTile = static_cast<int64_t>(kGroupMeanTokens);
  const int64_t tokens = signal.size(0), samples = signal.size(1), bins = config.bins();
  const int64_t frames = (samples - config.context_queries()) / config.hop_length;
  const std::vector<float> weights = ema_weights(frames, config);
  const at::Tensor in = signal.contiguous(), before = previous.contiguous();
  at::Tensor result = at::empty({tokens, bins}, signal.options());
  parallel_tasks((tokens + kTile - 1) / kTile, [&](int64_t tile, Scratch& scratch) {
    const int64_t first = tile * kTile;
    float* const attention = scratch.take<float>(static_cast<size_t>(samples * kTile));
    const auto count = static_cast<size_t>(std::min(kTile, tokens - first));
    if (count < kGroupMeanTokens) std::fill_n(attention, samples * kTile, 0.0f);
    transpose_signal(in.const_data_ptr<float>() + first * samples, static_cast<size_t>(samples), count,
                     static_cast<size_t>(samples), attention);
    spectrogram_average_tile({.attention = attention,
                              .tokens = count,
                              .n_fft = config.n_fft,
                              .hop_length = config.hop_length,
                              .frames = static_cast<size_t>(frames),
                              .frame_weights = weights.data(),
                              .carry = ema_carry(frames, config),
                              .previous = before.const_data_ptr<float>() + first * bins,
                              .average = result.mutable_data_ptr<float>() + first * bins});
  });
  return result;
}

}  // namespace namm::memory::cpu
