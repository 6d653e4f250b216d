#pragma once

#include <cstdint>
#include <string>

#include <ATen/ATen.h>

namespace namm::bench {

/// Throws Mismatch unless |ours - baseline| <= tolerance * (1 + |baseline|) everywhere; NaN differs.
void require_close(const std::string& what, const at::Tensor& ours, const at::Tensor& baseline,
                   double tolerance);

/// Throws Mismatch unless all values are the same.
void require_equal(const std::string& what, const at::Tensor& ours, const at::Tensor& baseline);

/// Which tokens of a head stay, in two programs: bool [n], with the baseline's scores [n]. Returns the tokens
/// on which they differ with |score| within `near_zero`; throws Mismatch where another one differs.
int64_t require_same_choice(const std::string& what, const at::Tensor& ours, const at::Tensor& baseline,
                            const at::Tensor& scores, double near_zero);

}  // namespace namm::bench
