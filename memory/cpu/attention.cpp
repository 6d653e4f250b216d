#include "memory/attention.h"

#include <algorithm>
#include <vector>

#include "memory/cpu/attention_kernel.h"
#include "memory/cpu/cached_tokens.h"
#include "memory/cpu/parallel.h"

namespace namm::memory::cpu {
namespace {

// Rows of a task: many, so that packing a tile of keys is small beside its use, and few enough that two
// threads share the work of one KV head.
constexpr int64_t kTaskRows = 768;

struct Task {
  const AttentionRow* row;
  const std::vector<Tokens>* tokens;
  int64_t kv_head;
  int64_t first;  // token of the row
  int64_t count;
};

template <class Element>
void attend(const at::Tensor& queries, const Task& task, int64_t group, double scale, int64_t window_tokens,
            const at::Tensor& output, const at::Tensor& log_sum_exp, Scratch& scratch) {
  const int64_t dim = queries.size(2), rows = task.count * group;
  float* const q = scratch.take<float>(static_cast<size_t>(rows * dim));
  float* const out = scratch.take<float>(static_cast<size_t>(rows * dim));
  float* const sums = scratch.take<float>(static_cast<size_t>(rows));
  int64_t* const positions = scratch.take<int64_t>(static_cast<size_t>(rows));
  const auto factor = static_cast<float>(scale);
  const int64_t token = task.row->offset + task.first;
  const Element* in = queries.const_data_ptr<Element>() + token * queries.stride(0) +
                      task.kv_head * group * queries.stride(1);
  for (int64_t t = 0; t < task.count; ++t) {
    for (int64_t g = 0; g < group; ++g) {
      const Element* query = in + t * queries.stride(0) + g * queries.stride(1);
      float* row = q + (t * group + g) * dim;
      for (int64_t k = 0; k < dim; ++k) row[k] = static_cast<float>(query[k]) * factor;
      positions[t * group + g] = task.row->first_position + task.first + t;
    }
  }
  attend_rows({.queries = q,
               .positions = positions,
               .rows = static_cast<size_t>(rows),
               .head_dim = static_cast<size_t>(dim),
               .tokens = *task.tokens,
               .visibility = {Visibility::Rule::older, window_tokens},
               .output = out,
               .log_sum_exp = sums},
              scratch);
  Element* target =
      output.mutable_data_ptr<Element>() + token * output.stride(0) + task.kv_head * group * dim;
  float* target_sums = log_sum_exp.mutable_data_ptr<float>() + token;
  const int64_t step_tokens = log_sum_exp.size(1);
  for (int64_t t = 0; t < task.count; ++t) {
    const float* row = out + t * group * dim;
    for (int64_t k = 0; k < group * dim; ++k) target[t * output.stride(0) + k] = static_cast<Element>(row[k]);
    for (int64_t g = 0; g < group; ++g)
      target_sums[(task.kv_head * group + g) * step_tokens + t] = sums[t * group + g];
  }
}

}  // namespace

void attention(const at::Tensor& queries, std::span<const AttentionRow> rows, double scale,
               int64_t window_tokens, const at::Tensor& output, const at::Tensor& log_sum_exp) {
  TORCH_INTERNAL_ASSERT(output.stride(2) == 1 && output.stride(1) == output.size(2));
  const at::Tensor q = queries.stride(2) == 1 ? queries : queries.contiguous();
  const int64_t heads = rows.empty() ? 1 : rows.front().cache->kv_heads();
  const int64_t group = q.size(1) / heads, task_tokens = std::max<int64_t>(1, kTaskRows / group);
  std::vector<std::vector<Tokens>> tokens;  // of every row and KV head
  tokens.reserve(rows.size() * static_cast<size_t>(heads));
  std::vector<Task> tasks;
  for (const AttentionRow& row : rows) {
    TORCH_INTERNAL_ASSERT(row.cache->kv_heads() == heads && row.offset + row.tokens <= q.size(0));
    for (int64_t h = 0; h < heads; ++h) {
      tokens.push_back(tokens_of(*row.cache, h));
      for (int64_t first = 0; first < row.tokens; first += task_tokens)
        tasks.push_back({&row, &tokens.back(), h, first, std::min(task_tokens, row.tokens - first)});
    }
  }
  parallel_tasks(static_cast<int64_t>(tasks.size()), [&](int64_t i, Scratch& scratch) {
    const Task& task = tasks[static_cast<size_t>(i)];
    if (q.scalar_type() == at::kFloat)
      attend<float>(q, task, group, scale, window_tokens, output, log_sum_exp, scratch);
    else
      attend<at::BFloat16>(q, task, group, scale, window_tokens, output, log_sum_exp, scratch);
  });
}

}  // namespace namm::memory::cpu
