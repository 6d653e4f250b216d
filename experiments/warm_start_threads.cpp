#include "experiments/warm_start_threads.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <vector>

#include <ATen/Parallel.h>

namespace namm::experiments {

void share_among_threads(int64_t count, int threads, int torch_threads,
                         const std::function<void(int64_t)>& body) {
  std::atomic<int64_t> next = 0;
  const auto work = [&] {
    at::set_num_threads(torch_threads);
    for (int64_t i = next++; i < count; i = next++) body(i);
  };
  std::vector<std::future<void>> workers;
  for (int t = 0; t < std::min<int64_t>(threads, count); ++t)
    workers.push_back(std::async(std::launch::async, work));
  for (auto& worker : workers) worker.wait();
  for (auto& worker : workers) worker.get();
}

}  // namespace namm::experiments
