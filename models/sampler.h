#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/ATen.h>

namespace namm::models {

/// How the next token is chosen from its logits.
struct SamplingOptions {
  double temperature = 0;  ///< 0: the most likely token, the lowest id of equal ones
  int64_t top_k = 0;       ///< only the k most likely tokens, and those as likely as the last of them; 0: all
  double top_p = 1;        ///< of these, the most likely ones that together reach this share, at least one
  uint64_t seed = 1;
};

/// Which draw a choice is: the same place gives the same number, whatever else is drawn.
struct DrawPlace {
  int64_t row = 0;
  int64_t token = 0;  ///< tokens generated before
};

/// Chooses tokens: logits are divided by the temperature, then cut by top_k, then by top_p, as `transformers`
/// does, then drawn. Arithmetic in double on the processor, in the order of ids.
class Sampler {
 public:
  /// TORCH_CHECK: temperature finite and not negative, top_k not negative, top_p in (0, 1].
  explicit Sampler(SamplingOptions options = {});

  /// logits float32 [n, V], one place a row. Returns n ids. TORCH_CHECK: no logit is NaN where something is
  /// drawn.
  std::vector<int64_t> choose(const at::Tensor& logits, std::span<const DrawPlace> places) const;

 private:
  SamplingOptions options_;
};

}  // namespace namm::models
