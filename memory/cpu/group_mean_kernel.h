#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/cpu/scratch.h"
#include "memory/cpu/tokens.h"

namespace namm::memory::cpu {

/// Attention that a tile of tokens of one KV head received, one thread's work.
struct GroupMeanTask {
  const float* queries = nullptr;      ///< [T, G, head_dim], multiplied by the scale
  const float* log_sum_exp = nullptr;  ///< [T, G]
  const int64_t* positions = nullptr;  ///< [T], increasing, of the queries
  size_t query_count = 0;              ///< T
  size_t group = 1;                    ///< G
  size_t head_dim = 0;
  Tokens tokens;  ///< at most kGroupMeanTokens
  Visibility visibility;
  bool round_to_bfloat16 = false;  ///< every head's probability and then their mean
  float* mean = nullptr;  ///< [T, kGroupMeanTokens]; columns past the tokens are not meant to be read
};

inline constexpr size_t kGroupMeanTokens = 64;

/// mean[t, j] = mean over the group of exp(q k_j - log_sum_exp), 0 where token j does not count for query t.
void group_mean_tile(const GroupMeanTask& task, Scratch& scratch);

}  // namespace namm::memory::cpu
