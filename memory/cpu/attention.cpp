#include "memory/attention.h"

#include <optional>
#include <utility>

namespace namm::memory::cpu {
namespace {

struct Partial {
  at::Tensor output;       // [Hk, G, T, d]
  at::Tensor log_sum_exp;  // [Hk, G, T]
};

// The keys or values of `count` tokens of heads [head, head + heads), standing `stride` rows apart, as
// [heads, G, count, d]: the query heads of a group read the same memory.
at::Tensor grouped(const at::Tensor& rows, int64_t heads, int64_t group, int64_t first_row, int64_t stride,
                   int64_t count) {
  const int64_t dim = rows.size(1);
  return rows.as_strided({heads, group, count, dim}, {stride * dim, 0, dim, 1},
                         rows.storage_offset() + first_row * dim);
}

Partial flash(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values, bool causal,
              double scale) {
  auto [output, log_sum_exp] = at::_scaled_dot_product_flash_attention_for_cpu(queries, keys, values, 0.0,
                                                                               causal, std::nullopt, scale);
  return {std::move(output), std::move(log_sum_exp)};
}

// Tokens [first, first + count) of every head of an even segment.
Partial even_part(const at::Tensor& queries, const CacheSegment& segment, int64_t first, int64_t count,
                  bool causal, double scale) {
  const int64_t heads = queries.size(0), group = queries.size(1);
  const int64_t stride = heads > 1 ? segment.starts[1] - segment.starts[0] : 0;
  const int64_t row = segment.starts[0] + first;
  return flash(queries, grouped(segment.keys, heads, group, row, stride, count),
               grouped(segment.values, heads, group, row, stride, count), causal, scale);
}

// All tokens of a segment whose heads differ in length.
Partial ragged_part(const at::Tensor& queries, const CacheSegment& segment, double scale) {
  const int64_t heads = queries.size(0), group = queries.size(1);
  std::vector<at::Tensor> outputs, log_sum_exps;
  for (int64_t h = 0; h < heads; ++h) {
    Partial part = flash(
        queries.narrow(0, h, 1), grouped(segment.keys, 1, group, segment.starts[h], 0, segment.lengths[h]),
        grouped(segment.values, 1, group, segment.starts[h], 0, segment.lengths[h]), false, scale);
    outputs.push_back(std::move(part.output));
    log_sum_exps.push_back(std::move(part.log_sum_exp));
  }
  return {at::cat(outputs), at::cat(log_sum_exps)};
}

}  // namespace

void attention(const at::Tensor& queries, const LayerCache& cache, double scale, const at::Tensor& output,
               at::Tensor* log_sum_exp) {
  const int64_t tokens = queries.size(0), heads = cache.kv_heads(), dim = queries.size(2);
  const int64_t group = queries.size(1) / heads;
  const at::Tensor rows = queries.stride(2) == 1 && queries.stride(1) == dim ? queries : queries.contiguous();
  const at::Tensor q = rows.as_strided({heads, group, tokens, dim}, {group * dim, dim, rows.stride(0), 1});
  at::Tensor target = output.as_strided({heads, group, tokens, dim}, {group * dim, dim, output.stride(0), 1});

  // Every cached token but the newest T comes before all queries, so only the square of the chunk itself
  // needs a mask, and the kernel's own (aligned top left) fits it.
  std::vector<Partial> parts;
  const auto& segments = cache.segments();
  const CacheSegment& last = *segments.back();
  TORCH_INTERNAL_ASSERT(last.growing() && last.lengths[0] >= tokens);
  const int64_t before = tokens == 1 ? 0 : last.lengths[0] - tokens;
  parts.push_back(even_part(q, last, before, last.lengths[0] - before, tokens > 1, scale));
  if (before > 0) parts.push_back(even_part(q, last, 0, before, false, scale));
  for (size_t s = segments.size() - 1; s-- > 0;) {
    const CacheSegment& segment = *segments[s];
    parts.push_back(segment.even() ? even_part(q, segment, 0, segment.lengths[0], false, scale)
                                   : ragged_part(q, segment, scale));
  }

  // Weight of a part: its share of the sum of exponentials so far, a sigmoid of the difference of logarithms.
  at::Tensor merged = parts[0].output;
  at::Tensor merged_lse = parts[0].log_sum_exp.to(at::kFloat);
  for (size_t p = 1; p < parts.size(); ++p) {
    const at::Tensor part_lse = parts[p].log_sum_exp.to(at::kFloat);
    const at::Tensor weight = at::sigmoid(part_lse - merged_lse).unsqueeze(-1);
    const bool last_part = p + 1 == parts.size();
    if (last_part && target.scalar_type() == at::kFloat) {
      at::lerp_out(target, merged, parts[p].output, weight);
    } else {
      merged = at::lerp(merged.to(at::kFloat), parts[p].output.to(at::kFloat), weight);
      if (last_part) target.copy_(merged);
    }
    if (!last_part || log_sum_exp) merged_lse = at::logaddexp(merged_lse, part_lse);
  }
  if (parts.size() == 1) target.copy_(merged);
  if (log_sum_exp) *log_sum_exp = merged_lse.reshape({heads * group, tokens});
}

}  // namespace namm::memory::cpu
