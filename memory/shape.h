#pragma once

#include <cstdint>

namespace namm::memory {

/// What a memory must know of the Transformer it serves. Letters used in all contracts of this folder:
/// L layers, H query heads, Hk key/value heads, G = H / Hk heads of a group, d head dimension, S packed
/// tokens of a step, N cached tokens packed by (row, KV head), D frequency bins, F features of a token.
struct TransformerShape {
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;

  int64_t group() const { return heads / kv_heads; }
};

}  // namespace namm::memory
