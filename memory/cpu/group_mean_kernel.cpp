#include "memory/cpu/group_mean_kernel.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "memory/cpu/group_mean_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "memory/cpu/exponential-inl.h"
#include "memory/cpu/matmul-inl.h"

HWY_BEFORE_NAMESPACE();
namespace namm::memory::cpu::HWY_NAMESPACE {

constexpr size_t kTokens = kGroupMeanTokens;  // a multiple of every panel width
constexpr size_t kQueryRows = 48;             // rows whose scores stay in the first-level cache

// To the nearest bfloat16, ties to even, as a float32; NaN stays.
HWY_INLINE Vector rounded_to_bfloat16(Vector x) {
  const Floats d;
  const hn::RebindToUnsigned<Floats> u;
  const auto bits = hn::BitCast(u, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(u, 1));
  const auto sum = hn::Add(bits, hn::Add(odd, hn::Set(u, 0x7FFF)));
  const Vector rounded = hn::BitCast(d, hn::And(sum, hn::Set(u, 0xFFFF0000u)));
  return hn::IfThenElse(hn::IsNaN(x), x, rounded);
}

// mean[j] of one query from the scores [group, kTokens] of its heads.
template <bool kRound>
HWY_INLINE void group_mean(const float* HWY_RESTRICT scores, const float* HWY_RESTRICT log_sum_exp,
                           size_t group, size_t count, float* HWY_RESTRICT mean) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  const Vector heads = hn::Set(d, static_cast<float>(group));
  for (size_t j = 0; j < count; j += lanes) {
    Vector sum = hn::Zero(d);
    for (size_t g = 0; g < group; ++g) {
      const Vector logarithm = hn::Sub(hn::Load(d, scores + g * kTokens + j), hn::Set(d, log_sum_exp[g]));
      // Not a probability, whoever made the log-sum-exp: infinity says so.
      Vector p = hn::IfThenElse(hn::Gt(logarithm, hn::Set(d, 80.0f)), hn::Inf(d), exponential(d, logarithm));
      if constexpr (kRound) p = rounded_to_bfloat16(p);
      sum = hn::Add(sum, p);
    }
    Vector result = group == 1 ? sum : hn::Div(sum, heads);
    if constexpr (kRound) result = rounded_to_bfloat16(result);
    hn::StoreU(result, d, mean + j);
  }
}

template <class Element>
void group_mean_tile_of(const GroupMeanTask& task, Scratch& scratch) {
  const size_t dim = task.head_dim, group = task.group, width = panel_width();
  const size_t count = task.tokens.count;
  const size_t block = std::max<size_t>(1, kQueryRows / group);  // queries
  float* const packed_keys = scratch.take<float>(kTokens * dim);
  float* const scores = scratch.take<float>(kTokens * block * group);
  pack_transposed(static_cast<const Element*>(task.tokens.keys), count, dim, packed_keys);
  for (size_t t0 = 0; t0 < task.query_count; t0 += block) {
    const size_t queries = std::min(block, task.query_count - t0);
    const int64_t* positions = task.positions + t0;
    float* const mean = task.mean + t0 * kTokens;
    const Sight seen = sight(task.tokens, 0, count, task.visibility, positions[0], positions[queries - 1]);
    if (seen == Sight::none) {
      std::fill(mean, mean + queries * kTokens, 0.0f);
      continue;
    }
    for (size_t n = 0; n < count; n += width) {
      multiply_panel(task.queries + t0 * group * dim, dim, queries * group, packed_keys + n * dim, width, dim,
                     nullptr, scores + n, kTokens);
    }
    for (size_t t = 0; t < queries; ++t) {
      const float* log_sum_exp = task.log_sum_exp + (t0 + t) * group;
      float* const row = mean + t * kTokens;
      if (task.round_to_bfloat16)
        group_mean<true>(scores + t * group * kTokens, log_sum_exp, group, count, row);
      else
        group_mean<false>(scores + t * group * kTokens, log_sum_exp, group, count, row);
      if (seen == Sight::some) {
        const VisibleRange range = visible_range(task.tokens, 0, count, task.visibility, positions[t]);
        std::fill(row, row + std::min(range.begin, count), 0.0f);
        std::fill(row + std::max(range.begin, range.end), row + count, 0.0f);
      }
    }
  }
}

void group_mean_tile(const GroupMeanTask& task, Scratch& scratch) {
  if (task.tokens.type == ElementType::float32)
    group_mean_tile_of<float>(task, scratch);
  else
    group_mean_tile_of<uint16_t>(task, scratch);
}

}  // namespace namm::memory::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace namm::memory::cpu {

HWY_EXPORT(group_mean_tile);

void group_mean_tile(const GroupMeanTask& task, Scratch& scratch) {
  HWY_DYNAMIC_DISPATCH(group_mean_tile)(task, scratch);
}

}  // namespace namm::memory::cpu
#endif
