#include "memory/cpu/spectrogram.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include <ATen/Parallel.h>

#include "memory/ema_weights.h"

namespace namm::memory::cpu {
namespace {

constexpr int64_t kTileFloats = 1 << 16;  // of products: 256 KiB

// Row-major [blocks * components, hop]: row (b, c) is the windowed basis function c on block b of the window.
// Components are the cosines of all bins, then the sines of those that have one (neither 0 nor half the
// sampling rate).
struct Basis {
  int64_t blocks, components, bins, sines;
  std::vector<float> rows;
};

Basis make_basis(const SpectrogramConfig& config) {
  const int64_t n = config.n_fft, hop = config.hop_length;
  Basis basis{n / hop, n, config.bins(), (n - 1) / 2, {}};
  std::vector<double> cosine(static_cast<size_t>(n)), sine(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(n);
    cosine[static_cast<size_t>(i)] = std::cos(angle);
    sine[static_cast<size_t>(i)] = std::sin(angle);
  }
  basis.rows.resize(static_cast<size_t>(n * basis.components));
  for (int64_t i = 0; i < n; ++i) {
    const double window = 0.5 * (1 - cosine[static_cast<size_t>(i)]);
    float* column = basis.rows.data() + (i / hop) * basis.components * hop + i % hop;
    for (int64_t f = 0; f < basis.bins; ++f) {
      column[f * hop] = static_cast<float>(window * cosine[static_cast<size_t>(f * i % n)]);
    }
    for (int64_t f = 1; f <= basis.sines; ++f) {
      column[(basis.bins + f - 1) * hop] = static_cast<float>(window * sine[static_cast<size_t>(f * i % n)]);
    }
  }
  return basis;
}

// Calls visit(first token, tokens, bin, magnitudes): magnitudes[k * stride + t] for token first + k, frame t;
// tiles in parallel, the bins of a tile in order.
template <class Visit>
void for_each_bin(const at::Tensor& signal, const SpectrogramConfig& config, const Visit& visit) {
  const int64_t hop = config.hop_length;
  Basis basis = make_basis(config);
  const int64_t tokens = signal.size(0);
  const int64_t stride = signal.size(1) / hop;  // blocks of a token's signal
  const int64_t tile =
      std::max<int64_t>(1, kTileFloats / std::max<int64_t>(1, stride * basis.blocks * basis.components));
  const at::Tensor contiguous = signal.contiguous();
  float* data = contiguous.mutable_data_ptr<float>();

  at::parallel_for(0, (tokens + tile - 1) / tile, 1, [&](int64_t first_tile, int64_t last_tile) {
    const int64_t rows = basis.blocks * basis.components;
    const at::Tensor left = at::from_blob(basis.rows.data(), {rows, hop}, at::kFloat);
    std::vector<float> products(static_cast<size_t>(rows * tile * stride));
    std::vector<float> real(static_cast<size_t>(tile * stride)), imaginary(real.size());
    for (int64_t number = first_tile; number < last_tile; ++number) {
      const int64_t first = number * tile;
      const int64_t count = std::min(tile, tokens - first);
      const int64_t width = count * stride;
      at::Tensor out = at::from_blob(products.data(), {rows, width}, at::kFloat);
      const at::Tensor right = at::from_blob(data + first * stride * hop, {width, hop}, at::kFloat);
      at::mm_out(out, left, right.t());

      const int64_t usable = width - (basis.blocks - 1);  // sums that do not run over the end of the tile
      const auto sum_blocks = [&](int64_t component, float* __restrict sum) {
        const float* __restrict part = products.data() + component * width;
        std::copy(part, part + usable, sum);
        for (int64_t b = 1; b < basis.blocks; ++b) {
          const float* __restrict next = products.data() + (b * basis.components + component) * width + b;
          for (int64_t i = 0; i < usable; ++i) sum[i] += next[i];
        }
      };
      for (int64_t f = 0; f < basis.bins; ++f) {
        float* __restrict re = real.data();
        sum_blocks(f, re);
        if (f >= 1 && f <= basis.sines) {
          float* __restrict im = imaginary.data();
          sum_blocks(basis.bins + f - 1, im);
          for (int64_t i = 0; i < usable; ++i) re[i] = std::sqrt(re[i] * re[i] + im[i] * im[i]);
        } else {
          for (int64_t i = 0; i < usable; ++i) re[i] = std::abs(re[i]);
        }
        visit(first, count, f, static_cast<const float*>(re), stride);
      }
    }
  });
}

int64_t frames_of(const at::Tensor& signal, const SpectrogramConfig& config) {
  return (signal.size(1) - config.context_queries()) / config.hop_length;
}

// Sum of a[i] * b[i], eight lanes, the same order for every call.
float dot(const float* __restrict a, const float* __restrict b, int64_t n) {
  float lanes[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int lane = 0; lane < 8; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  }
  float sum =
      ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

bool supports_spectrogram(const SpectrogramConfig& config) {
  return config.n_fft % config.hop_length == 0;
}

at::Tensor spectrogram(const at::Tensor& signal, const SpectrogramConfig& config) {
  const int64_t frames = frames_of(signal, config), bins = config.bins();
  at::Tensor result = at::empty({signal.size(0), frames, bins}, signal.options());
  if (result.numel() == 0) return result;
  float* out = result.mutable_data_ptr<float>();
  for_each_bin(signal, config,
               [&](int64_t first, int64_t count, int64_t f, const float* magnitudes, int64_t stride) {
                 for (int64_t k = 0; k < count; ++k) {
                   for (int64_t t = 0; t < frames; ++t)
                     out[((first + k) * frames + t) * bins + f] = magnitudes[k * stride + t];
                 }
               });
  return result;
}

at::Tensor spectrogram_ema(const at::Tensor& signal, const at::Tensor& previous,
                           const SpectrogramConfig& config) {
  const int64_t frames = frames_of(signal, config), bins = config.bins();
  const std::vector<float> weights = ema_weights(frames, config);
  const float carry = ema_carry(frames, config);
  const at::Tensor before = previous.contiguous();
  at::Tensor result = at::empty({signal.size(0), bins}, signal.options());
  if (result.numel() == 0) return result;
  if (frames == 0) return result.copy_(before);
  const float* old = before.const_data_ptr<float>();
  float* out = result.mutable_data_ptr<float>();
  for_each_bin(signal, config,
               [&](int64_t first, int64_t count, int64_t f, const float* magnitudes, int64_t stride) {
                 for (int64_t k = 0; k < count; ++k) {
                   const int64_t place = (first + k) * bins + f;
                   out[place] = dot(weights.data(), magnitudes + k * stride, frames) + carry * old[place];
                 }
               });
  return result;
}

}  // namespace namm::memory::cpu
