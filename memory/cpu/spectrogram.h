#pragma once

#include <ATen/ATen.h>

#include "memory/spectrogram.h"

/// The spectrogram on the processor: the window is cut into blocks of one hop, every block of the signal
/// meets the windowed Fourier basis once in a matrix product, and a frame is the sum of its blocks' parts.
/// Tiles of tokens stay in the second-level cache.
namespace namm::memory::cpu {

/// hop_length divides n_fft.
bool supports_spectrogram(const SpectrogramConfig& config);

/// Contracts of memory/spectrogram.h, arguments checked.
at::Tensor spectrogram(const at::Tensor& signal, const SpectrogramConfig& config);
at::Tensor spectrogram_ema(const at::Tensor& signal, const at::Tensor& previous,
                           const SpectrogramConfig& config);

}  // namespace namm::memory::cpu
