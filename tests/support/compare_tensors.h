#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include <ATen/ATen.h>

namespace namm::testing {

/// Counts what was compared and keeps the largest deviation, in units of the tolerance.
struct Comparison {
  int64_t values = 0;
  double worst = 0;

  /// |ours - theirs| <= tolerance * (1 + relative * |theirs|) everywhere; NaN fails.
  void near(const at::Tensor& ours, const at::Tensor& theirs, double tolerance, bool relative,
            const std::string& what) {
    ASSERT_EQ(ours.sizes(), theirs.sizes()) << what;
    values += theirs.numel();
    if (theirs.numel() == 0) return;
    const at::Tensor a = ours.to(at::kCPU, at::kDouble), b = theirs.to(at::kCPU, at::kDouble);
    at::Tensor ratio = (a - b).abs() / tolerance;
    if (relative) ratio = ratio / (1 + b.abs());
    ratio = at::where(ratio.isnan(), std::numeric_limits<double>::infinity(), ratio);
    const double largest = ratio.max().item<double>();
    worst = std::max(worst, largest);
    EXPECT_LE(largest, 1.0) << what << ": largest deviation in units of the tolerance " << tolerance
                            << ", at flat index " << ratio.argmax().item<int64_t>() << " of "
                            << theirs.sizes();
  }

  void absolute(const at::Tensor& ours, const at::Tensor& theirs, double tolerance, const std::string& what) {
    near(ours, theirs, tolerance, false, what);
  }

  void equal(const at::Tensor& ours, const at::Tensor& theirs, const std::string& what) {
    ASSERT_EQ(ours.sizes(), theirs.sizes()) << what;
    values += theirs.numel();
    EXPECT_EQ((ours.to(at::kCPU, at::kDouble) != theirs.to(at::kCPU, at::kDouble)).sum().item<int64_t>(), 0)
        << what << ": values that differ";
  }
};

}  // namespace namm::testing
