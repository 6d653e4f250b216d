#pragma once

#include <cstdint>
#include <functional>

namespace namm::experiments {

/// body(i) for i in [0, count) on at most `threads` threads of their own, each with `torch_threads` of
/// LibTorch's, so that no result depends on `threads`. Rethrows what one of them threw, when all have ended.
void share_among_threads(int64_t count, int threads, int torch_threads,
                         const std::function<void(int64_t)>& body);

}  // namespace namm::experiments
