#pragma once

#include <cstdint>
#include <string>

#include <ATen/ATen.h>

#include "core/config.h"
#include "memory/backend.h"

namespace namm::memory {

/// Short-time Fourier transform of the attention that a token receives, and its moving average
/// (namm-semantics 2; arXiv 2410.13166, section 3.1).
struct SpectrogramConfig {
  int64_t n_fft = 32;             ///< window length w in queries
  int64_t hop_length = 16;        ///< hop s in queries
  double ema_coefficient = 0.99;  ///< gamma, per query; a frame counts gamma^hop
  std::string attention_dtype =
      "float32";  ///< float32 | bfloat16: type that attention is rounded to, each head's and the group's mean

  bool is_complex = false;  ///< real and imaginary parts instead of magnitudes; no key of its own, see
                            ///< NammConfig::needed_spectrogram

  int64_t bins() const { return n_fft / 2 + 1; }
  /// D, numbers of a frame: magnitudes of the bins, or their real parts and then the imaginary parts that are
  /// not always 0, n_fft in all.
  int64_t numbers() const { return is_complex ? n_fft : bins(); }
  /// Queries of the previous period that the first frame still covers.
  int64_t context_queries() const { return n_fft - hop_length; }

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("n_fft", self.n_fft, between(2, 4096), "window of the transform, queries");
    visit("hop_length", self.hop_length, between(1, 4096),
          "hop of the transform, queries; divides the period");
    visit("ema_coefficient", self.ema_coefficient, between(0, 1), "decay of the moving average per query");
    visit("attention_dtype", self.attention_dtype, one_of({"float32", "bfloat16"}),
          "type that attention is rounded to, each head's and then the mean of a group");
  }
  void check(const ConfigNode& node) const;  ///< hop_length <= n_fft

  bool operator==(const SpectrogramConfig&) const = default;
};

/// `attention` rounded to `config.attention_dtype` and back to float32: the released runs hand bfloat16 to
/// the policy (namm-semantics 1.9). Called on every head's probabilities, then on their mean.
at::Tensor round_attention(const at::Tensor& attention, const SpectrogramConfig& config);

/// Magnitudes of the frames of `signal`, or their complex parts: frame t covers signal[hop * t, hop * t +
/// n_fft) under a periodic Hann window, one sided, no centring, no normalisation (namm-semantics 2.3), by the
/// obvious route (frames, window, at::fft_rfft, abs; on CUDA the transform is cuFFT's). A history shorter
/// than the window is padded on the left with zeros, by whoever makes the signal.
///   signal [K, (n_fft - hop) + m] float32: attention to K tokens by the context queries, then by the m new
///   queries; m a multiple of hop_length. Returns [K, m / hop, D] float32 on the signal's device.
at::Tensor spectrogram(const at::Tensor& signal, const SpectrogramConfig& config);

/// E of namm-semantics 2.4: sum over frames t of c_t * magnitudes[:, t] + gamma^m * previous, c_t =
/// beta^(R-1-t) (1 - beta), beta = gamma^hop.
///   magnitudes [K, R, D] float32, previous [K, D] float32 (zeros for new tokens). Returns [K, D] float32.
at::Tensor ema_update(const at::Tensor& magnitudes, const at::Tensor& previous,
                      const SpectrogramConfig& config);

/// ema_update(spectrogram(signal), previous) without holding more than a tile of magnitudes.
///   signal as in `spectrogram`, previous [K, D]. Returns [K, D] float32.
at::Tensor spectrogram_ema(const at::Tensor& signal, const at::Tensor& previous,
                           const SpectrogramConfig& config, Backend backend = Backend::automatic);

}  // namespace namm::memory
