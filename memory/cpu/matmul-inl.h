// Register-blocked products of small row-major matrices, compiled once for every instruction set.
#if defined(NAMM_MEMORY_CPU_MATMUL_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NAMM_MEMORY_CPU_MATMUL_INL_H
#undef NAMM_MEMORY_CPU_MATMUL_INL_H
#else
#define NAMM_MEMORY_CPU_MATMUL_INL_H
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace namm::memory::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;

constexpr size_t kBlockRows = 6;  // 6 x 2 sums, 2 operands and a broadcast fit 16 registers

/// Columns of a panel: what one block of sums covers.
HWY_INLINE size_t panel_width() {
  return 2 * hn::Lanes(Floats());
}

HWY_INLINE size_t round_up(size_t n, size_t step) {
  return (n + step - 1) / step * step;
}

/// c[r, :] = a[r, :] B, or factors[r] * c[r, :] + a[r, :] B where factors is not null, for R rows and the
/// panel_width() columns of b [depth, ldb]. A row's bits do not depend on the rows beside it.
template <int R>
HWY_INLINE void multiply_block(const float* HWY_RESTRICT a, size_t lda, const float* HWY_RESTRICT b,
                               size_t ldb, size_t depth, const float* HWY_RESTRICT factors,
                               float* HWY_RESTRICT c, size_t ldc) {
  static_assert(R >= 1 && R <= 6);
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  Vector l0 = hn::Zero(d), l1 = l0, l2 = l0, l3 = l0, l4 = l0, l5 = l0;
  Vector h0 = l0, h1 = l0, h2 = l0, h3 = l0, h4 = l0, h5 = l0;
  for (size_t k = 0; k < depth; ++k) {
    const Vector low = hn::LoadU(d, b + k * ldb), high = hn::LoadU(d, b + k * ldb + lanes);
    const auto step = [&](int r, Vector& sum_low, Vector& sum_high) HWY_ATTR {
      const Vector x = hn::Set(d, a[static_cast<size_t>(r) * lda + k]);
      sum_low = hn::MulAdd(x, low, sum_low);
      sum_high = hn::MulAdd(x, high, sum_high);
    };
    step(0, l0, h0);
    if constexpr (R > 1) step(1, l1, h1);
    if constexpr (R > 2) step(2, l2, h2);
    if constexpr (R > 3) step(3, l3, h3);
    if constexpr (R > 4) step(4, l4, h4);
    if constexpr (R > 5) step(5, l5, h5);
  }
  const auto store = [&](size_t r, Vector low, Vector high) HWY_ATTR {
    float* HWY_RESTRICT row = c + r * ldc;
    if (factors) {
      const Vector factor = hn::Set(d, factors[r]);
      low = hn::MulAdd(hn::LoadU(d, row), factor, low);
      high = hn::MulAdd(hn::LoadU(d, row + lanes), factor, high);
    }
    hn::StoreU(low, d, row);
    hn::StoreU(high, d, row + lanes);
  };
  store(0, l0, h0);
  if constexpr (R > 1) store(1, l1, h1);
  if constexpr (R > 2) store(2, l2, h2);
  if constexpr (R > 3) store(3, l3, h3);
  if constexpr (R > 4) store(4, l4, h4);
  if constexpr (R > 5) store(5, l5, h5);
}

/// The same for any number of rows.
HWY_INLINE void multiply_panel(const float* HWY_RESTRICT a, size_t lda, size_t rows,
                               const float* HWY_RESTRICT b, size_t ldb, size_t depth,
                               const float* HWY_RESTRICT factors, float* HWY_RESTRICT c, size_t ldc) {
  size_t r = 0;
  const auto factors_at = [&](size_t row) { return factors ? factors + row : nullptr; };
  for (; r + kBlockRows <= rows; r += kBlockRows)
    multiply_block<6>(a + r * lda, lda, b, ldb, depth, factors_at(r), c + r * ldc, ldc);
  switch (rows - r) {
    case 1:
      multiply_block<1>(a + r * lda, lda, b, ldb, depth, factors_at(r), c + r * ldc, ldc);
      break;
    case 2:
      multiply_block<2>(a + r * lda, lda, b, ldb, depth, factors_at(r), c + r * ldc, ldc);
      break;
    case 3:
      multiply_block<3>(a + r * lda, lda, b, ldb, depth, factors_at(r), c + r * ldc, ldc);
      break;
    case 4:
      multiply_block<4>(a + r * lda, lda, b, ldb, depth, factors_at(r), c + r * ldc, ldc);
      break;
    case 5:
      multiply_block<5>(a + r * lda, lda, b, ldb, depth, factors_at(r), c + r * ldc, ldc);
      break;
    default:
      break;
  }
}

HWY_INLINE float widen(float x) {
  return x;
}

/// The upper half of a float32.
HWY_INLINE float widen(uint16_t bfloat16) {
  const uint32_t bits = static_cast<uint32_t>(bfloat16) << 16;
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

/// rows [n, dim] as the panels of their transpose: panel p is [dim, panel_width()], its columns past n zero.
template <class Element>
HWY_INLINE void pack_transposed(const Element* HWY_RESTRICT rows, size_t n, size_t dim,
                                float* HWY_RESTRICT panels) {
  const size_t width = panel_width();
  for (size_t first = 0; first < n; first += width, panels += dim * width) {
    const size_t count = std::min(width, n - first);
    for (size_t i = 0; i < count; ++i) {
      const Element* HWY_RESTRICT row = rows + (first + i) * dim;
      for (size_t k = 0; k < dim; ++k) panels[k * width + i] = widen(row[k]);
    }
    for (size_t i = count; i < width; ++i) {
      for (size_t k = 0; k < dim; ++k) panels[k * width + i] = 0;
    }
  }
}

/// rows [n, dim] copied to float32 [n, stride], the columns past dim zero.
template <class Element>
HWY_INLINE void pack_rows(const Element* HWY_RESTRICT rows, size_t n, size_t dim, float* HWY_RESTRICT out,
                          size_t stride) {
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < dim; ++k) out[i * stride + k] = widen(rows[i * dim + k]);
    std::fill(out + i * stride + dim, out + (i + 1) * stride, 0.0f);
  }
}

}  // namespace namm::memory::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
