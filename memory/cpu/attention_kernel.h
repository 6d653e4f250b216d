#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "memory/cpu/scratch.h"
#include "memory/cpu/tokens.h"

namespace namm::memory::cpu {

/// Query rows that attend to the same tokens, one thread's work.
struct AttentionTask {
  const float* queries = nullptr;      ///< [rows, head_dim], multiplied by the scale
  const int64_t* positions = nullptr;  ///< [rows], not falling
  size_t rows = 0;
  size_t head_dim = 0;
  std::span<const Tokens> tokens;
  Visibility visibility;
  float* output = nullptr;       ///< [rows, head_dim]
  float* log_sum_exp = nullptr;  ///< [rows], natural logarithm
};

/// Softmax attention in one pass over the tokens with a running maximum, for the instruction set of this
/// processor; float32 sums. No more than a tile of scores exists. Every row must see a token. A row's bits
/// depend on its query, the tokens and whether the task has more than four rows, alone.
void attend_rows(const AttentionTask& task, Scratch& scratch);

}  // namespace namm::memory::cpu
