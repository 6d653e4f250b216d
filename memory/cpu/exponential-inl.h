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

/// exp(x), at most 1 unit in the last place off; NaN stays NaN, where Highway's own function gives 0 and would
/// hide a broken model.
template <class D, class V>
HWY_INLINE V exponential(D d, V x) {
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(d, x));
}

}  // namespace namm::memory::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
