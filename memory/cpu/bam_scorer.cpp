#include "memory/cpu/bam_scorer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "memory/cpu/attention_kernel.h"
#include "memory/cpu/parallel.h"

namespace namm::memory::cpu {

at::Tensor attend_to_newer(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values) {
  constexpr int64_t kTaskRows = 384;
  const int64_t heads = queries.size(0), n = queries.size(1), width = queries.size(2);
  const at::Tensor scaled = queries / std::sqrt(static_cast<double>(width));
  at::Tensor output = at::empty_like(queries);
  std::vector<int64_t> positions(static_cast<size_t>(n));
  std::iota(positions.begin(), positions.end(), int64_t{0});
  const int64_t tasks_of_head = (n + kTaskRows - 1) / kTaskRows;
  parallel_tasks(heads * tasks_of_head, [&](int64_t task, Scratch& scratch) {
    const int64_t head = task / tasks_of_head, first = task % tasks_of_head * kTaskRows;
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
                 .log_sum_exp = scratch.take<float>(static_cast<size_t>(rows))},
                scratch);
  });
  return output;
}

}  // namespace namm::memory::cpu
