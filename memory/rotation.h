#pragma once

#include <string>

#include <ATen/ATen.h>

namespace namm::memory {

/// How the places of cached tokens count in attention after an eviction. `original`: keys keep the rotation
/// of the position they were read at (the released code). `compacted`: each head's tokens stand at
/// consecutive places that end at the row's newest token, as if nothing had stood between them (StreamingLLM,
/// arXiv 2309.17453, counts positions inside the cache too). Causality, recency and random draws go by the
/// original position in both.
enum class PositionMode { original, compacted };

/// "original" or "compacted"; throws ConfigError for anything else.
PositionMode position_mode(const std::string& name);

/// Rotary position embedding (RoPE, arXiv 2104.09864) as archives apply it: component i of a head pairs with
/// component i + d / 2, the angle of pair i at position p is the float32 product p * frequency[i].
///   keys [n, d] as they were rotated at positions `from`; from, to int64 [n]; inverse_frequencies float32 [d
///   / 2] on the same device.
/// Returns the keys as if they had been rotated at `to`: by the difference of the two rounded angles, so
/// equal to what the model would have given there but for the rounding of one rotation (float32; float64 for
/// float64 keys) and of the keys' own type.
at::Tensor rotated(const at::Tensor& keys, const at::Tensor& from, const at::Tensor& to,
                   const at::Tensor& inverse_frequencies);

}  // namespace namm::memory
