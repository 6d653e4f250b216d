#if defined(NAMM_MEMORY_CPU_EXPONENTIAL_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NAMM_MEMORY_CPU_EXPONENTIAL_INL_H
#undef NAMM_MEMORY_CPU_EXPONENTIAL_INL_H
#else
#define NAMM_MEMORY_CPU_EXPONENTIAL_INL_H
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace namm::memory::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// exp(x) for x <= 80, the weights of a softmax; at most 2 units in the last place off. Below 2^-60, which no
/// float32 sum of such weights can show, it is 0: with smaller numbers products become denormal, and
/// processors take a hundred times as long for those. NaN stays NaN, so that a broken model is seen.
template <class D, class V>
HWY_INLINE V exponential(D d, V x) {
  const hn::RebindToSigned<D> integers;
  // exp(x) = 2^n exp(r), |r| <= ln 2 / 2; the sum with 1.5 * 2^23 rounds to n and shows it in the lowest
  // bits.
  const V shifter = hn::Set(d, 12582912.0f);
  const V shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), shifter);
  const V n = hn::Sub(shifted, shifter);
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693145752f), x);  // ln 2 in two parts
  r = hn::NegMulAdd(n, hn::Set(d, 1.42860677e-6f), r);
  V p = hn::Set(d, 1.98756915e-4f);  // Cephes expf
  p = hn::MulAdd(p, r, hn::Set(d, 1.39819995e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.33345192e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.16657962e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.66666657e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0e-1f));
  p = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0f));
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(integers, shifted));
  const V scaled = hn::BitCast(d, hn::Add(hn::BitCast(integers, p), exponent));
  // "Not below" is true of NaN, whose r and p are NaN; adding to the exponent bits would hide it.
  const V seen = hn::IfThenElse(hn::Lt(x, hn::Set(d, -41.5f)), hn::Zero(d), scaled);
  return hn::IfThenElse(hn::IsNaN(x), x, seen);
}

}  // namespace namm::memory::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
