#include "memory/attention.h"

namespace namm::memory {

void attention(const at::Tensor& queries, int64_t first_position, const LayerCache& cache, double scale,
               int64_t window_tokens, const at::Tensor& output, at::Tensor* log_sum_exp) {
  if (queries.is_cpu() && window_tokens == 0)
    return cpu::attention(queries, cache, scale, output, log_sum_exp);

  const int64_t tokens = queries.size(0);
  const int64_t group = queries.size(1) / cache.kv_heads();
  const at::Tensor positions =
      at::arange(first_position, first_position + tokens, queries.options().dtype(at::kLong));
  if (log_sum_exp) *log_sum_exp = at::empty({queries.size(1), tokens}, queries.options().dtype(at::kFloat));
  for (int64_t h = 0; h < cache.kv_heads(); ++h) {
    std::vector<CacheBlock> blocks;
    for (const auto& segment : cache.segments()) {
      blocks.push_back({segment->keys_of(h), segment->values_of(h), segment->positions_of(h)});
    }
    const AttentionResult result =
        attention_reference(queries.narrow(1, h * group, group), positions, blocks, scale, window_tokens);
    output.narrow(1, h * group, group).copy_(result.output);
    if (log_sum_exp) log_sum_exp->narrow(0, h * group, group).copy_(result.log_sum_exp.t());
  }
}

}  // namespace namm::memory
