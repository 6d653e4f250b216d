#include "memory/affine_rows.h"

#include <algorithm>

#include "memory/cpu/linear_kernel.h"
#include "memory/cpu/parallel.h"

namespace namm::memory {

at::Tensor affine_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                       Backend backend) {
  if (!uses_cpu_kernels(backend, x) || x.scalar_type() != at::kFloat)
    return bias.defined() ? at::addmm(bias, x, weight) : at::mm(x, weight);
  const int64_t rows = x.size(0), inputs = x.size(1), outputs = weight.size(1);
  const at::Tensor from = x.contiguous(), w = weight.contiguous();
  const at::Tensor b = bias.defined() ? bias.contiguous() : bias;
  at::Tensor y = at::empty({rows, outputs}, x.options());
  float* const to = y.mutable_data_ptr<float>();
  constexpr int64_t kBlock = 1024;
  cpu::parallel_tasks((rows + kBlock - 1) / kBlock, [&](int64_t block, cpu::Scratch& scratch) {
    const int64_t first = block * kBlock;
    cpu::multiply_rows({.x = from.const_data_ptr<float>() + first * inputs,
                        .rows = static_cast<size_t>(std::min(kBlock, rows - first)),
                        .inputs = static_cast<size_t>(inputs),
                        .outputs = static_cast<size_t>(outputs),
                        .weight = w.const_data_ptr<float>(),
                        .bias = b.defined() ? b.const_data_ptr<float>() : nullptr,
                        .y = to + first * outputs},
                       scratch);
  });
  return y;
}

}  // namespace namm::memory
