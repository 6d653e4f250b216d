#pragma once

#include <ATen/ATen.h>

#include "memory/backend.h"

namespace namm::memory {

/// x W + b for tokens that know nothing of each other: x [n, inputs], weight [inputs, outputs], bias
/// [outputs] or undefined, all of one type and device. Returns [n, outputs]. By the kernels (float32 on the
/// processor) the bits of a row depend on that row alone; LibTorch's product, taken elsewhere, does not
/// promise that.
at::Tensor affine_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                       Backend backend);

}  // namespace namm::memory
