#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "memory/spectrogram.h"

namespace namm::memory {

/// What a scorer sees of a token's moving average E (namm-semantics 2.4):
///   magnitude      E itself, as in the paper;
///   log_magnitude  log(E + 1e-4): the magnitudes are heavy-tailed, their logarithms are not;
///   complex        E of real and imaginary parts instead of magnitudes: the phase counts;
///   dc_only        the constant bin E[:, 0] alone, which is smoothed attention.
std::vector<std::string> spectral_feature_kinds();

/// Numbers a token.
int64_t spectral_feature_count(const std::string& kind, const SpectrogramConfig& spectrogram);

/// ema float32 [N, D], not normalised. Returns float32 [N, spectral_feature_count]. Throws ConfigError for an
/// unknown kind.
at::Tensor spectral_features(const at::Tensor& ema, const std::string& kind);

}  // namespace namm::memory
