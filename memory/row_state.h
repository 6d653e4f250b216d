#pragma once

#include <cstdint>
#include <vector>

#include "memory/kv_cache.h"
#include "memory/protection.h"
#include "memory/token_features.h"

namespace namm::memory {

struct LayerState {
  LayerCache cache;
  AttentionRecord record;
};

/// Everything that a session holds of one row: what it needs to go on bit for bit. Copies share their
/// tensors.
struct RowState {
  int64_t member = 0;
  int64_t tag = 0;
  int64_t tokens = 0;          ///< read so far
  int64_t updated_tokens = 0;  ///< of these, before the last update
  int64_t updates = 0;
  bool torn = false;  ///< a step or an update was given up half-way: its layers disagree about its tokens
  std::vector<TokenSpan> protected_spans;
  int64_t excess_tokens = 0;      ///< kept at the last update beyond the budget, all layers and heads
  int64_t peak_cache_bytes = 0;   ///< most before an update, of this process
  int64_t peak_record_bytes = 0;  ///< the same
  std::vector<LayerState> layers;
  std::vector<std::vector<int64_t>> kept_history;  ///< kept lengths [L * Hk] after each update

  int64_t cache_bytes() const;   ///< LayerCache::bytes of all layers
  int64_t record_bytes() const;  ///< AttentionRecord::bytes of all layers
};

}  // namespace namm::memory
