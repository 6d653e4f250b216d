#include "memory/row_state.h"

namespace namm::memory {

int64_t RowState::cache_bytes() const {
  int64_t bytes = 0;
  for (const LayerState& layer : layers) bytes += layer.cache.bytes();
  return bytes;
}

int64_t RowState::record_bytes() const {
  int64_t bytes = 0;
  for (const LayerState& layer : layers) bytes += layer.record.bytes();
  return bytes;
}

}  // namespace namm::memory
