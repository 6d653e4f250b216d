#pragma once

#include <vector>

#include "memory/cpu/tokens.h"
#include "memory/kv_cache.h"

namespace namm::memory::cpu {

/// The tokens of one KV head as raw memory, a stretch a segment; valid as long as the cache is not changed.
std::vector<Tokens> tokens_of(const LayerCache& cache, int64_t kv_head);

/// The tokens [first, first + count) of a stretch.
Tokens part_of(const Tokens& tokens, size_t first, size_t count, int64_t head_dim);

}  // namespace namm::memory::cpu
