#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/ATen.h>

#include "memory/shape.h"

namespace namm::memory {

/// One stretch of a row's cache in one layer, oldest token first. The tokens of KV head h stand in rows
/// [starts[h], starts[h] + lengths[h]) of keys and values. Two forms: a growing segment [Hk * capacity, d],
/// whose heads hold the same consecutive tokens, and a packed one of exactly the tokens that survived an
/// update, ragged over heads.
struct CacheSegment {
  at::Tensor keys, values;       ///< [rows, d], contiguous
  at::Tensor positions;          ///< int64 [rows] of a packed segment; undefined in a growing one
  int64_t first_position = 0;    ///< of a growing segment: its token i has position first_position + i
  int64_t capacity = 0;          ///< tokens a growing segment has room for; 0: packed
  std::vector<int64_t> starts;   ///< [Hk]
  std::vector<int64_t> lengths;  ///< [Hk]

  bool growing() const { return capacity > 0; }
  /// Every head has the same length and the heads stand at equal distances: one batched call serves them all.
  bool even() const;
  int64_t bytes() const;

  at::Tensor keys_of(int64_t kv_head) const;       ///< view [n, d]
  at::Tensor values_of(int64_t kv_head) const;     ///< view [n, d]
  at::Tensor positions_of(int64_t kv_head) const;  ///< int64 [n]
};

/// Keys, values and positions of one row in one layer. Copies share their segments (a fork costs nothing);
/// only a segment that nobody shares grows, otherwise appending starts a new one. Not thread-safe.
class LayerCache {
 public:
  /// options: dtype and device of keys and values.
  LayerCache(const TransformerShape& shape, const at::TensorOptions& options);

  /// keys, values [T, Hk, d]; the tokens have positions first_position, first_position + 1, ...
  void append(const at::Tensor& keys, const at::Tensor& values, int64_t first_position);

  const std::vector<std::shared_ptr<CacheSegment>>& segments() const { return segments_; }
  int64_t kv_heads() const { return static_cast<int64_t>(lengths_.size()); }
  int64_t head_dim() const { return head_dim_; }
  const std::vector<int64_t>& lengths() const { return lengths_; }  ///< [Hk]
  int64_t tokens() const;                                           ///< sum of `lengths`
  int64_t bytes() const;                                            ///< allocated for keys and values

  /// All tokens packed by head, oldest first; copies unless they already stand so.
  at::Tensor packed_keys() const;       ///< [tokens, d]
  at::Tensor packed_values() const;     ///< [tokens, d]
  at::Tensor packed_positions() const;  ///< int64 [tokens]

  /// Replaces all segments by one of exactly the tokens `index` (int64 [K], increasing, into the packed
  /// order), of which head h keeps lengths[h]. The old segments are released unless a fork still holds them.
  void compact(const at::Tensor& index, std::vector<int64_t> lengths);

 private:
  at::Tensor packed(at::Tensor CacheSegment::*field) const;

  int64_t head_dim_;
  at::TensorOptions options_;
  std::vector<int64_t> lengths_;
  std::vector<std::shared_ptr<CacheSegment>> segments_;
};

}  // namespace namm::memory
