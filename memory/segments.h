#pragma once

#include <cstdint>
#include <vector>

#include <ATen/ATen.h>

namespace namm::memory {

/// Helpers on packed tokens: segment s is [offsets[s], offsets[s + 1]) of N = offsets.back() tokens.

/// TORCH_CHECK: offsets start at 0, never fall, end at `tokens`, and there is a multiple of `kv_heads`
/// segments.
void check_offsets(const std::vector<int64_t>& offsets, int64_t tokens, int64_t kv_heads);

/// int64 [N], the segment of every token.
at::Tensor segment_ids(const std::vector<int64_t>& offsets, at::Device device);

/// int64, indices of the newest tokens of the segments that are not empty.
at::Tensor newest_indices(const std::vector<int64_t>& offsets, at::Device device);

/// int64 [segments], sums of flags bool [N] over each segment.
at::Tensor segment_counts(const at::Tensor& flags, const std::vector<int64_t>& offsets);

}  // namespace namm::memory
