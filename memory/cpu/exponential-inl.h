#if defined(NAMM_MEMORY_CPU_EXPONENTIAL_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NAMM_MEMORY_CPU_EXPONENTIAL_INL_H
#undef NAMM_MEMORY_CPU_EXPONENTIAL_INL_H
#else
#define NAMM_MEMORY_CPU_EXPONENTIAL_INL_H
#endif

#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace namm::memory::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// exp(x), at most 1 unit in the last place off. Below 2^-60, which no float32 sum of probabilities can show,
/// it is 0: with smaller numbers products become denormal, and processors take a hundred times as long for
/// those. NaN stays NaN, where Highway's own function gives 0 and would hide a broken model.
template <class D, class V>
HWY_INLINE V exponential(D d, V x) {
  const V seen = hn::IfThenElseZero(hn::Ge(x, hn::Set(d, -41.5f)), hn::Exp(d, x));
  return hn::IfThenElse(hn::IsNaN(x), x, seen);
}

}  // namespace namm::memory::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
