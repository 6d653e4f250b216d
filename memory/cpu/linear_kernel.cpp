#include "memory/cpu/linear_kernel.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "memory/cpu/linear_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "memory/cpu/matmul-inl.h"

HWY_BEFORE_NAMESPACE();
namespace namm::memory::cpu::HWY_NAMESPACE {

void multiply_rows(const LinearTask& task, Scratch& scratch) {
  const size_t width = panel_width(), stride = round_up(task.outputs, width);
  float* const weight = scratch.take<float>(task.inputs * stride);
  float* const sums = scratch.take<float>(task.rows * width);
  pack_rows(task.weight, task.inputs, task.outputs, weight, stride);
  for (size_t first = 0; first < task.outputs; first += width) {
    multiply_panel(task.x, task.inputs, task.rows, weight + first, stride, task.inputs, nullptr, sums, width);
    const size_t count = std::min(width, task.outputs - first);
    for (size_t r = 0; r < task.rows; ++r) {
      float* const y = task.y + r * task.outputs + first;
      for (size_t i = 0; i < count; ++i)
        y[i] = sums[r * width + i] + (task.bias ? task.bias[first + i] : 0.0f);
    }
  }
}

}  // namespace namm::memory::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace namm::memory::cpu {

HWY_EXPORT(multiply_rows);

void multiply_rows(const LinearTask& task, Scratch& scratch) {
  HWY_DYNAMIC_DISPATCH(multiply_rows)(task, scratch);
}

}  // namespace namm::memory::cpu
#endif
