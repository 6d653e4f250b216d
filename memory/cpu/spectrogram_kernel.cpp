#include "memory/cpu/spectrogram_kernel.h"

#include <cmath>
#include <numbers>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "memory/cpu/spectrogram_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "memory/cpu/fourier-inl.h"
#include "memory/cpu/matmul-inl.h"

HWY_BEFORE_NAMESPACE();
namespace namm::memory::cpu::HWY_NAMESPACE {

template <int N>
void average_of(const SpectrogramTask& task) {
  constexpr int kBins = N / 2 + 1;
  constexpr auto kStride = static_cast<std::ptrdiff_t>(kGroupMeanTokens);
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  float cosines[N], window[N];
  for (int i = 0; i < N; ++i) {
    const double cosine = std::cos(2 * std::numbers::pi * i / N);
    cosines[i] = static_cast<float>(cosine);
    window[i] = static_cast<float>(0.5 * (1 - cosine));
  }
  const auto absent = static_cast<std::ptrdiff_t>(task.absent_rows);
  const auto hop = static_cast<std::ptrdiff_t>(task.hop_length);
  for (size_t j = 0; j < task.tokens; j += lanes) {
    Vector average[kBins];
    for (int k = 0; k < kBins; ++k) average[k] = hn::Zero(d);
    for (size_t frame = 0; frame < task.frames; ++frame) {
      Vector x[N], re[kBins], im[kBins];
      const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(frame) * hop - absent;
      const float* HWY_RESTRICT row = task.attention + j;
      for (std::ptrdiff_t i = 0; i < N; ++i) {
        x[i] = first + i < 0 ? hn::Zero(d)
                             : hn::Mul(hn::Set(d, window[i]), hn::LoadU(d, row + (first + i) * kStride));
      }
      real_fourier<N, 1, N>(d, x, cosines, re, im);
      const Vector weight = hn::Set(d, task.frame_weights[frame]);
      average[0] = hn::MulAdd(weight, hn::Abs(re[0]), average[0]);
      for (int k = 1; k < kBins - 1; ++k) {
        const Vector magnitude = hn::Sqrt(hn::MulAdd(re[k], re[k], hn::Mul(im[k], im[k])));
        average[k] = hn::MulAdd(weight, magnitude, average[k]);
      }
      average[kBins - 1] = hn::MulAdd(weight, hn::Abs(re[kBins - 1]), average[kBins - 1]);
    }
    HWY_ALIGN float values[kBins * hn::MaxLanes(Floats())];
    for (int k = 0; k < kBins; ++k) hn::Store(average[k], d, values + static_cast<size_t>(k) * lanes);
    const size_t count = std::min(lanes, task.tokens - j);
    for (size_t lane = 0; lane < count; ++lane) {
      float* out = task.average + (j + lane) * kBins;
      const float* before = task.previous ? task.previous + (j + lane) * kBins : nullptr;
      for (int k = 0; k < kBins; ++k)
        out[k] = values[static_cast<size_t>(k) * lanes + lane] + (before ? task.carry * before[k] : 0.0f);
    }
  }
}

void spectrogram_average_tile(const SpectrogramTask& task) {
  switch (task.n_fft) {
    case 16:
      return average_of<16>(task);
    case 32:
      return average_of<32>(task);
    default:
      return average_of<64>(task);
  }
}

void transpose_signal(const float* signal, size_t signal_stride, size_t tokens, size_t samples,
                      float* attention) {
  // Sixteen rows of a line each stay in the first-level cache while their columns are written.
  constexpr size_t kSamples = 16;
  for (size_t t0 = 0; t0 < samples; t0 += kSamples) {
    const size_t count = std::min(kSamples, samples - t0);
    for (size_t j = 0; j < tokens; ++j) {
      const float* HWY_RESTRICT row = signal + j * signal_stride + t0;
      for (size_t t = 0; t < count; ++t) attention[(t0 + t) * kGroupMeanTokens + j] = row[t];
    }
  }
}

}  // namespace namm::memory::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace namm::memory::cpu {

HWY_EXPORT(spectrogram_average_tile);
HWY_EXPORT(transpose_signal);

bool has_fourier_kernel(int64_t n_fft) {
  return n_fft == 16 || n_fft == 32 || n_fft == 64;
}

void spectrogram_average_tile(const SpectrogramTask& task) {
  HWY_DYNAMIC_DISPATCH(spectrogram_average_tile)(task);
}

void transpose_signal(const float* signal, size_t signal_stride, size_t tokens, size_t samples,
                      float* attention) {
  HWY_DYNAMIC_DISPATCH(transpose_signal)(signal, signal_stride, tokens, samples, attention);
}

}  // namespace namm::memory::cpu
#endif
