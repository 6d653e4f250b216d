#pragma once

#include <cstdint>
#include <vector>

#include "memory/spectrogram.h"

namespace namm::memory {

/// c_t of namm-semantics 2.4 for frames t = 0 ... frames - 1; powers of beta in float32 from beta rounded to
/// float32.
std::vector<float> ema_weights(int64_t frames, const SpectrogramConfig& config);

/// gamma^m, the factor of the previous average, m = frames * hop.
float ema_carry(int64_t frames, const SpectrogramConfig& config);

}  // namespace namm::memory
