#include "memory/attention.h"

namespace namm::memory {
namespace {

void attend_by_reference(const at::Tensor& queries, const AttentionRow& row, double scale,
                         int64_t window_tokens, const at::Tensor& output, const at::Tensor& log_sum_exp) {
  const int64_t group = queries.size(1) / row.cache->kv_heads();
  const at::Tensor positions =
      at::arange(row.first_position, row.first_position + row.tokens, queries.options().dtype(at::kLong));
  for (int64_t h = 0; h < row.cache->kv_heads(); ++h) {
    std::vector<CacheBlock> blocks;
    for (const auto& segment : row.cache->segments())
      blocks.push_back({segment->keys_of(h), segment->values_of(h), segment->positions_of(h)});
    const auto mine = [&](const at::Tensor& x) {
      return x.narrow(0, row.offset, row.tokens).narrow(1, h * group, group);
    };
    const AttentionResult result =
        attention_reference(mine(queries), positions, blocks, scale, window_tokens);
    mine(output).copy_(result.output);
    mine(log_sum_exp.t()).copy_(result.log_sum_exp);
  }
}

}  // namespace

void attention(const at::Tensor& queries, std::span<const AttentionRow> rows, double scale,
               int64_t window_tokens, const at::Tensor& output, at::Tensor* log_sum_exp, Backend backend) {
  TORCH_CHECK(queries.dim() == 3 && output.sizes() == queries.sizes(),
              "[attention] queries and output must be [tokens, heads, head dimension], are ", queries.sizes(),
              " and ", output.sizes());
  const at::Tensor sums = at::empty({queries.size(1), queries.size(0)}, queries.options().dtype(at::kFloat));
  if (uses_cpu_kernels(backend, queries)) {
    cpu::attention(queries, rows, scale, window_tokens, output, sums);
  } else {
    for (const AttentionRow& row : rows)
      attend_by_reference(queries, row, scale, window_tokens, output, sums);
  }
  if (log_sum_exp) *log_sum_exp = sums;
}

}  // namespace namm::memory
