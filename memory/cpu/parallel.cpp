#include "memory/cpu/parallel.h"

#include <algorithm>
#include <atomic>

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#ifndef _OPENMP
#error \
    "compile with -fopenmp: LibTorch's parallel_for is a template, and without OpenMP it runs on one thread"
#endif

namespace namm::memory::cpu {

void parallel_tasks(int64_t count, const std::function<void(int64_t task, Scratch& scratch)>& body) {
  std::atomic<int64_t> next = 0;
  const auto work = [&](int64_t, int64_t) {
    const c10::InferenceMode guard;  // threads of the pool do not inherit the caller's
    Scratch scratch;
    for (int64_t task = next++; task < count; task = next++) {
      scratch.clear();
      body(task, scratch);
    }
  };
  at::parallel_for(0, std::min<int64_t>(count, at::get_num_threads()), 1, work);
}

}  // namespace namm::memory::cpu
