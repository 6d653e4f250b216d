// Real discrete Fourier transforms of a power of two, one signal a lane.
#if defined(NAMM_MEMORY_CPU_FOURIER_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NAMM_MEMORY_CPU_FOURIER_INL_H
#undef NAMM_MEMORY_CPU_FOURIER_INL_H
#else
#define NAMM_MEMORY_CPU_FOURIER_INL_H
#endif

#include <cstddef>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace namm::memory::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// re[k] + i im[k] = sum over n of x[n * kStride] exp(-2 pi i k n / N), k = 0 ... N / 2, by halving: the even
/// and the odd samples are transformed alone and meet with their twiddle factors. im[0] and im[N / 2], which
/// are 0, are not written. `cosines`: cos(2 pi i / kTable) for i < kTable, of which N divides kTable.
template <int N, int kStride, int kTable, class D, class V>
HWY_INLINE void real_fourier(D d, const V* HWY_RESTRICT x, const float* HWY_RESTRICT cosines,
                             V* HWY_RESTRICT re, V* HWY_RESTRICT im) {
  if constexpr (N == 2) {
    re[0] = hn::Add(x[0], x[kStride]);
    re[1] = hn::Sub(x[0], x[kStride]);
  } else {
    constexpr int kHalf = N / 2;
    V even_re[kHalf / 2 + 1], even_im[kHalf / 2 + 1], odd_re[kHalf / 2 + 1], odd_im[kHalf / 2 + 1];
    real_fourier<kHalf, 2 * kStride, kTable>(d, x, cosines, even_re, even_im);
    real_fourier<kHalf, 2 * kStride, kTable>(d, x + kStride, cosines, odd_re, odd_im);
    re[0] = hn::Add(even_re[0], odd_re[0]);
    re[kHalf] = hn::Sub(even_re[0], odd_re[0]);
    // At a quarter both halves are real and the twiddle factor is -i.
    re[kHalf / 2] = even_re[kHalf / 2];
    im[kHalf / 2] = hn::Neg(odd_re[kHalf / 2]);
    HWY_UNROLL(16)
    for (int k = 1; k < kHalf / 2; ++k) {
      const V c = hn::Set(d, cosines[k * (kTable / N)]);
      const V s = hn::Set(d, cosines[(kTable / 4) - k * (kTable / N)]);  // the sine
      const V turned_re = hn::MulAdd(odd_re[k], c, hn::Mul(odd_im[k], s));
      const V turned_im = hn::NegMulAdd(odd_re[k], s, hn::Mul(odd_im[k], c));
      re[k] = hn::Add(even_re[k], turned_re);
      im[k] = hn::Add(even_im[k], turned_im);
      re[kHalf - k] = hn::Sub(even_re[k], turned_re);
      im[kHalf - k] = hn::Sub(turned_im, even_im[k]);
    }
  }
}

}  // namespace namm::memory::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
