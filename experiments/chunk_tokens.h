#pragma once

#include <cstdint>

namespace namm::experiments {

/// Most tokens of a prompt that `namm generate` reads at once unless told otherwise, and that the benches of
/// models read as it does; an update of the memory cuts chunks shorter.
inline constexpr int64_t kChunkTokens = 1024;

}  // namespace namm::experiments
