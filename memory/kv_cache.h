#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <ATen/ATen.h>

#include "memory/rotation.h"
#include "memory/shape.h"

namespace namm::memory {

/// One stretch of a row's cache in one layer, oldest token first. The tokens of KV head h stand in rows
/// [starts[h], starts[h] + lengths[h]) of keys and values. Two forms: a growing segment [Hk * capacity, d],
/// whose heads hold the same consecutive tokens, and a packed one of exactly the tokens that survived an
/// update, ragged over heads.
struct CacheSegment {
  at::Tensor keys, values;  ///< [rows, d], contiguous
  at::Tensor positions;     ///< int64 [rows] of a packed segment; undefined in a growing one
  at::Tensor read_keys;     ///< [rows, d] of a packed segment whose `keys` were moved: as they were read
  at::Tensor places;        ///< int64 [rows, 1 + m] of such a segment: the position that each key is rotated
                            ///< to now, after the last update but one, ... (CacheMoves)
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

/// How a cache moves its keys to compacted places (PositionMode); none where it does not.
struct CacheMoves {
  at::Tensor
      inverse_frequencies;  ///< float32 [d / 2], on the device of the cache; undefined: keys never move
  int64_t remembered_updates = 0;  ///< m, so many earlier places of a key are known

  bool moves() const { return inverse_frequencies.defined(); }
};

/// Keys, values and positions of one row in one layer. Copies share their segments (a fork costs nothing);
/// only a segment that nobody shares grows, otherwise appending starts a new one. Not thread-safe.
class LayerCache {
 public:
  /// options: dtype and device of keys and values.
  LayerCache(const TransformerShape& shape, const at::TensorOptions& options, CacheMoves moves = {});
  /// One that holds `segments`, which must be what a LayerCache of these arguments can have built.
  LayerCache(const TransformerShape& shape, const at::TensorOptions& options, CacheMoves moves,
             std::vector<std::shared_ptr<CacheSegment>> segments);

  /// keys, values [T, Hk, d]; the tokens have positions first_position, first_position + 1, ...
  void append(const at::Tensor& keys, const at::Tensor& values, int64_t first_position);

  const std::vector<std::shared_ptr<CacheSegment>>& segments() const { return segments_; }
  int64_t kv_heads() const { return static_cast<int64_t>(lengths_.size()); }
  int64_t head_dim() const { return head_dim_; }
  const std::vector<int64_t>& lengths() const { return lengths_; }  ///< [Hk]
  int64_t tokens() const;                                           ///< sum of `lengths`
  int64_t bytes() const;  ///< allocated for keys (moved ones twice) and values
  /// Whether some key stands elsewhere than where it was read.
  bool moved() const;

  /// All tokens packed by head, oldest first; copies unless they already stand so.
  at::Tensor packed_keys() const;       ///< [tokens, d]
  at::Tensor packed_values() const;     ///< [tokens, d]
  at::Tensor packed_positions() const;  ///< int64 [tokens]
  at::Tensor packed_places() const;     ///< int64 [tokens]: the position that each key is rotated to
  /// [rows, d] of the first segment of a cache that moved(): its keys as they stood before the last `updates`
  /// (1 to m) calls of compact().
  at::Tensor moved_keys_before(int64_t updates) const;

  /// Replaces all segments by one of exactly the tokens `index` (int64 [K], increasing, into the packed
  /// order), of which head h keeps lengths[h]. The old segments are released head by head, unless a fork
  /// holds them; the cache is lost where this throws. A cache that moves its keys then rotates each head's to
  /// consecutive places that end at the newest token's position, from the keys as they were read, so that no
  /// number of moves adds up rounding; it must be called at every update, also where nothing leaves.
  void compact(const at::Tensor& index, std::vector<int64_t> lengths);

 private:
  /// What a segment holds of one head, [n] or [n, ...].
  using Piece = std::function<at::Tensor(const CacheSegment&, int64_t kv_head)>;
  at::Tensor packed(const Piece& piece) const;
  enum class Use { last, not_last };  ///< of what `piece` gives, views then, whose pages may go
  /// rows [K] or [K, ...]: filled.
  void gather(const Piece& piece, const at::Tensor& index, const std::vector<int64_t>& lengths, Use use,
              at::Tensor& rows) const;
  at::Tensor places_of(const CacheSegment& segment, int64_t kv_head) const;

  int64_t head_dim_;
  at::TensorOptions options_;
  CacheMoves moves_;
  int64_t next_position_ = 0;
  std::vector<int64_t> lengths_;
  std::vector<std::shared_ptr<CacheSegment>> segments_;
};

}  // namespace namm::memory
