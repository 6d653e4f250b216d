#include "tests/bench/agreement.h"

#include "core/text.h"
#include "tests/bench/case.h"

namespace namm::bench {

void require_close(const std::string& what, const at::Tensor& ours, const at::Tensor& baseline,
                   double tolerance) {
  if (ours.sizes() != baseline.sizes())
    throw Mismatch(format_text("{}: shapes {} and {}", what, ours.sizes(), baseline.sizes()));
  if (ours.numel() == 0) return;
  const at::Tensor deviation = (ours - baseline).abs() / (1 + baseline.abs());
  const double largest = deviation.max().item<double>();  // NaN where any is
  if (!(largest <= tolerance))
    throw Mismatch(
        format_text("{}: the results differ by {}, allowed is {} (1 + |x|)", what, largest, tolerance));
}

void require_equal(const std::string& what, const at::Tensor& ours, const at::Tensor& baseline) {
  if (!ours.equal(baseline)) throw Mismatch(what + ": the results differ");
}

int64_t require_same_choice(const std::string& what, const at::Tensor& ours, const at::Tensor& baseline,
                            const at::Tensor& scores, double near_zero) {
  if (ours.sizes() != baseline.sizes())
    throw Mismatch(format_text("{}: decisions on {} and {} tokens", what, ours.sizes(), baseline.sizes()));
  const at::Tensor differ = ours.ne(baseline);
  const int64_t count = differ.sum().item<int64_t>();
  if (count == 0) return 0;
  const double farthest = scores.masked_select(differ).abs().max().item<double>();
  if (!(farthest <= near_zero)) {
    throw Mismatch(format_text("{}: {} decisions differ, one at a score of {} from 0, allowed is {}", what,
                               count, farthest, near_zero));
  }
  return count;
}

}  // namespace namm::bench
