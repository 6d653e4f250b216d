#include "memory/cpu/attention_kernel.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "memory/cpu/attention_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "memory/cpu/exponential-inl.h"
#include "memory/cpu/matmul-inl.h"

HWY_BEFORE_NAMESPACE();
namespace namm::memory::cpu::HWY_NAMESPACE {

constexpr size_t kKeyTile = 128;  // a multiple of every panel width
constexpr size_t kRowTile = 48;   // rows whose scores stay in the first-level cache
constexpr size_t kFewRows = 4;    // as in decoding: packing the keys would cost more than it saves

// scores[r, j] = q_r k_j for a few rows, keys read where they stand.
template <class Element>
void multiply_few(const float* HWY_RESTRICT queries, size_t rows, const Element* HWY_RESTRICT keys,
                  size_t count, size_t dim, float* HWY_RESTRICT widened, float* HWY_RESTRICT scores) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  for (size_t j = 0; j < count; ++j) {
    const float* HWY_RESTRICT key;
    if constexpr (sizeof(Element) == sizeof(float)) {
      key = keys + j * dim;
    } else {
      for (size_t k = 0; k < dim; ++k) widened[k] = widen(keys[j * dim + k]);
      key = widened;
    }
    for (size_t r = 0; r < rows; ++r) {
      const float* HWY_RESTRICT query = queries + r * dim;
      Vector sum = hn::Zero(d), other = sum;
      size_t k = 0;
      for (; k + 2 * lanes <= dim; k += 2 * lanes) {
        sum = hn::MulAdd(hn::LoadU(d, query + k), hn::LoadU(d, key + k), sum);
        other = hn::MulAdd(hn::LoadU(d, query + k + lanes), hn::LoadU(d, key + k + lanes), other);
      }
      if (k + lanes <= dim) {
        sum = hn::MulAdd(hn::LoadU(d, query + k), hn::LoadU(d, key + k), sum);
        k += lanes;
      }
      float total = hn::GetLane(hn::SumOfLanes(d, hn::Add(sum, other)));
      for (; k < dim; ++k) total += query[k] * key[k];
      scores[r * kKeyTile + j] = total;
    }
  }
}

// Turns one row of scores into exponentials below the row's running maximum; returns the factor of what was
// summed before.
float exponentials(float* HWY_RESTRICT scores, size_t count, const VisibleRange& range, float& peak,
                   float& sum) {
  const Floats d;
  const size_t lanes = hn::Lanes(d), padded = round_up(count, lanes);
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  if (range.begin >= range.end) {
    std::fill(scores, scores + padded, 0.0f);
    return 1;
  }
  std::fill(scores, scores + range.begin, kNone);
  std::fill(scores + range.end, scores + padded, kNone);
  Vector highest = hn::Set(d, peak);
  for (size_t j = 0; j < padded; j += lanes) highest = hn::Max(highest, hn::Load(d, scores + j));
  const float new_peak = hn::GetLane(hn::MaxOfLanes(d, highest));
  const Vector reference = hn::Set(d, new_peak);
  Vector total = hn::Zero(d);
  for (size_t j = 0; j < padded; j += lanes) {
    const Vector weight = exponential(d, hn::Sub(hn::Load(d, scores + j), reference));
    hn::Store(weight, d, scores + j);
    total = hn::Add(total, weight);
  }
  // The peak seldom moves after the first tiles.
  const float factor = new_peak == peak ? 1.0f : std::exp(peak - new_peak);
  sum = sum * factor + hn::GetLane(hn::SumOfLanes(d, total));
  peak = new_peak;
  return factor;
}

template <class Element>
void attend_rows_of(const AttentionTask& task, Scratch& scratch) {
  const size_t dim = task.head_dim, rows = task.rows, width = panel_width();
  const size_t padded_dim = round_up(dim, width);
  const bool few = rows <= kFewRows;
  // Values are read where they stand unless their rows are too short for a panel or must be widened.
  const bool copy_values = padded_dim != dim || sizeof(Element) != sizeof(float);
  const size_t row_tile = std::min(rows, kRowTile);
  float* const packed_keys = scratch.take<float>(few ? dim : dim * kKeyTile);
  float* const packed_values = scratch.take<float>(copy_values ? kKeyTile * padded_dim : 0);
  float* const scores = scratch.take<float>(row_tile * kKeyTile);
  float* const sums = scratch.take<float>(rows * padded_dim);
  float* const peak = scratch.take<float>(rows);
  float* const weight = scratch.take<float>(rows);
  float* const factors = scratch.take<float>(row_tile);
  std::fill(sums, sums + rows * padded_dim, 0.0f);
  std::fill(peak, peak + rows, -std::numeric_limits<float>::infinity());
  std::fill(weight, weight + rows, 0.0f);

  for (const Tokens& tokens : task.tokens) {
    const auto* all_keys = static_cast<const Element*>(tokens.keys);
    const auto* all_values = static_cast<const Element*>(tokens.values);
    for (size_t k0 = 0; k0 < tokens.count; k0 += kKeyTile) {
      const size_t count = std::min(kKeyTile, tokens.count - k0);
      if (sight(tokens, k0, count, task.visibility, task.positions[0], task.positions[rows - 1]) ==
          Sight::none)
        continue;
      const Element* keys = all_keys + k0 * dim;
      if (!few) pack_transposed(keys, count, dim, packed_keys);
      const float* values;
      if constexpr (sizeof(Element) == sizeof(float)) {
        values = all_values + k0 * dim;
      }
      if (copy_values) {
        pack_rows(all_values + k0 * dim, count, dim, packed_values, padded_dim);
        values = packed_values;
      }
      for (size_t r0 = 0; r0 < rows; r0 += kRowTile) {
        const size_t tile = std::min(kRowTile, rows - r0);
        const int64_t* positions = task.positions + r0;
        const Sight seen = sight(tokens, k0, count, task.visibility, positions[0], positions[tile - 1]);
        if (seen == Sight::none) continue;
        const float* queries = task.queries + r0 * dim;
        if (few) {
          multiply_few(queries, tile, keys, count, dim, packed_keys, scores);
        } else {
          for (size_t n = 0; n < count; n += width)
            multiply_panel(queries, dim, tile, packed_keys + n * dim, width, dim, nullptr, scores + n,
                           kKeyTile);
        }
        for (size_t r = 0; r < tile; ++r) {
          const VisibleRange range = seen == Sight::all
                                         ? VisibleRange{0, count}
                                         : visible_range(tokens, k0, count, task.visibility, positions[r]);
          factors[r] = exponentials(scores + r * kKeyTile, count, range, peak[r0 + r], weight[r0 + r]);
        }
        const size_t stride = copy_values ? padded_dim : dim;
        for (size_t n = 0; n < padded_dim; n += width)
          multiply_panel(scores, kKeyTile, tile, values + n, stride, count, factors,
                         sums + r0 * padded_dim + n, padded_dim);
      }
    }
  }
  for (size_t r = 0; r < rows; ++r) {
    const float share = 1.0f / weight[r];
    for (size_t k = 0; k < dim; ++k) task.output[r * dim + k] = sums[r * padded_dim + k] * share;
    task.log_sum_exp[r] = peak[r] + std::log(weight[r]);
  }
}

void attend_rows(const AttentionTask& task, Scratch& scratch) {
  if (task.tokens.empty() || task.tokens.front().type == ElementType::float32)
    attend_rows_of<float>(task, scratch);
  else
    attend_rows_of<uint16_t>(task, scratch);
}

}  // namespace namm::memory::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace namm::memory::cpu {

HWY_EXPORT(attend_rows);

void attend_rows(const AttentionTask& task, Scratch& scratch) {
  HWY_DYNAMIC_DISPATCH(attend_rows)(task, scratch);
}

}  // namespace namm::memory::cpu
#endif
