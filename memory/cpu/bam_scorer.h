#pragma once

#include <ATen/ATen.h>

namespace namm::memory::cpu {

/// Attention of one segment in which token i sees tokens i, i + 1, ..., n - 1: no mask of n x n, no more than
/// a tile of scores at a time.
///   queries, keys, values float32 [heads, n, width], contiguous. Returns [heads, n, width].
at::Tensor attend_to_newer(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values);

}  // namespace namm::memory::cpu
