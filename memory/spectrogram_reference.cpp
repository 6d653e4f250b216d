#include <ATen/ATen.h>

#include "memory/spectrogram.h"

namespace namm::memory {

at::Tensor spectrogram_reference(const at::Tensor& signal, const SpectrogramConfig& config) {
  const int64_t frame_count = (signal.size(1) - config.context_queries()) / config.hop_length;
  if (signal.size(0) == 0 || frame_count == 0) {
    return at::zeros({signal.size(0), frame_count, config.bins()}, signal.options());
  }
  const at::Tensor window = at::hann_window(config.n_fft, /*periodic=*/true, signal.options());
  const at::Tensor frames = signal.unfold(/*dimension=*/1, config.n_fft, config.hop_length);
  return at::fft_rfft(frames * window).abs();
}

}  // namespace namm::memory
