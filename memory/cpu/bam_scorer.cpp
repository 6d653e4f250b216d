#include "memory/cpu/bam_scorer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <ATen/Parallel.h>

#include "memory/cpu/attention_kernel.h"

namespace namm::memory::cpu {

at::Tensor attend_to_newer(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values) {
  constexpr int64_t kTaskRows = 384;
  const int64_t heads = queries.size(0), n = queries.size(1), width = queries.size(2);
  const at::Tensor scaled = queries / std::sqrt(static_cast<double>(width));
  at::Tensor output = at::empty_like(queries);
  std::vector<int64_t> positions(static_cast<size_t>(n));
  std::iota(positions.begin(), positions.end(), int64_t{0});
  const int64_t tasks_of_head = (n + kTaskRows - 1) / kTaskRows;
  // Older rows see more: a thread's share alternates between both ends.
  const int64_t tasks = heads * tasks_of_head;
  at::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> sums(static_cast<size_t>(kTaskRows));
    for (int64_t i = begin; i < end; ++i) {
      const int64_t slot = i % 2 == 0 ? i / 2 : tasks - 1 - i / 2;
      const int64_t head = slot / tasks_of_head, first = slot % tasks_of_head * kTaskRows;
      const int64_t rows = std::min(kTaskRows, n - first);
      const int64_t base = head * n * width;
      const Tokens tokens{.keys = keys.const_data_ptr<float>() + base,
                          .values = values.const_data_ptr<float>() + base,
                          .count = static_cast<size_t>(n)};
      attend_rows({.queries = scaled.const_data_ptr<float>() + base + first * width,
                   .positions = positions.data() + first,
                   .rows = static_cast<size_t>(rows),
                   .head_dim = static_cast<size_t>(width),
                   .tokens = {&tokens, 1},
                   .visibility = {.rule = Visibility::Rule::newer},
                   .output = output.mutable_data_ptr<float>() + base + first * width,
                   .log_sum_exp = sums.data()});
    }
  });
  return output;
}

}  // namespace namm::memory::cpu
