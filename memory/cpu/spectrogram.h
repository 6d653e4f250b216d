#pragma once

#include <ATen/ATen.h>

#include "memory/spectrogram.h"

namespace namm::memory::cpu {

/// spectrogram_ema of memory/spectrogram.h by the kernel, arguments checked; n_fft 16, 32 or 64.
at::Tensor spectrogram_ema(const at::Tensor& signal, const at::Tensor& previous,
                           const SpectrogramConfig& config);

}  // namespace namm::memory::cpu
