#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/cpu/group_mean_kernel.h"

namespace namm::memory::cpu {

/// Moving average of the spectrogram of a tile of tokens, one thread's work.
struct SpectrogramTask {
  const float* attention = nullptr;  ///< [queries, kGroupMeanTokens]: a row is what one query gave the tokens
  size_t tokens = 0;                 ///< at most kGroupMeanTokens
  size_t absent_rows = 0;            ///< rows of zeros that stand before the first row of `attention`
  int64_t n_fft = 32;                ///< 16, 32 or 64
  int64_t hop_length = 16;
  size_t frames = 0;
  const float* frame_weights = nullptr;  ///< [frames], c_t of namm-semantics 2.4
  float carry = 0;                       ///< factor of the previous average
  const float* previous = nullptr;       ///< [tokens, bins]; null: zeros. May be `average`
  float* average = nullptr;              ///< [tokens, bins]
};

/// n_fft is one of the lengths with a transform of its own.
bool has_fourier_kernel(int64_t n_fft);

void spectrogram_average_tile(const SpectrogramTask& task);

/// attention[t, j] = signal[j, t]: signal [tokens, samples] with rows `signal_stride` apart, tokens at most
/// kGroupMeanTokens; attention [samples, kGroupMeanTokens].
void transpose_signal(const float* signal, size_t signal_stride, size_t tokens, size_t samples,
                      float* attention);

}  // namespace namm::memory::cpu
