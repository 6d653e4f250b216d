#pragma once

#include <cstddef>

#include "memory/cpu/scratch.h"

namespace namm::memory::cpu {

/// A linear map of some rows, one thread's work.
struct LinearTask {
  const float* x = nullptr;  ///< [rows, inputs]
  size_t rows = 0;
  size_t inputs = 0;
  size_t outputs = 0;
  const float* weight = nullptr;  ///< [inputs, outputs]
  const float* bias = nullptr;    ///< [outputs]; null: none
  float* y = nullptr;             ///< [rows, outputs]
};

/// y = x W + b. A row's bits do not depend on the rows beside it.
void multiply_rows(const LinearTask& task, Scratch& scratch);

}  // namespace namm::memory::cpu
