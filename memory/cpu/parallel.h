#pragma once

#include <cstdint>
#include <functional>

#include "memory/cpu/scratch.h"

namespace namm::memory::cpu {

/// Calls body(task, scratch) for the tasks 0 ... count - 1 on the threads of LibTorch's pool, each taking the
/// next one as it gets free; in the caller's thread where it is itself one of the pool. The scratch is the
/// thread's, cleared before every task. What an exception leaves undone stays undone; it is rethrown.
void parallel_tasks(int64_t count, const std::function<void(int64_t task, Scratch& scratch)>& body);

}  // namespace namm::memory::cpu
