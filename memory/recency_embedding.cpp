#include "memory/recency_embedding.h"

#include <cmath>
#include <vector>

namespace namm::memory {

void RecencyConfig::check(const ConfigNode& node) const {
  if (dimension % 2 != 0)
    node.fail_entry("dimension", std::to_string(dimension), "an even number: half sines, half cosines");
}

at::Tensor recency_embedding(const at::Tensor& ages, const RecencyConfig& config) {
  TORCH_CHECK(ages.dim() == 1 && ages.scalar_type() == at::kLong,
              "[recency] ages must be int64 [tokens], are ", ages.scalar_type(), " ", ages.sizes());
  const int64_t half = config.dimension / 2;
  std::vector<double> frequencies(static_cast<size_t>(half));
  for (int64_t k = 0; k < half; ++k) {
    frequencies[static_cast<size_t>(k)] =
        std::pow(config.max_frequency, -static_cast<double>(k) / static_cast<double>(half));
  }
  // The C library's sine gives one result an argument, whatever stands beside it in memory; a vectorised one
  // need not.
  const at::Tensor local = ages.to(at::kCPU).contiguous();
  const int64_t* age = local.const_data_ptr<int64_t>();
  at::Tensor result = at::empty({local.size(0), config.dimension}, at::kFloat);
  float* out = result.mutable_data_ptr<float>();
  for (int64_t i = 0; i < local.size(0); ++i) {
    for (int64_t k = 0; k < half; ++k) {
      const double angle = static_cast<double>(age[i]) * frequencies[static_cast<size_t>(k)];
      out[i * config.dimension + k] = static_cast<float>(std::sin(angle));
      out[i * config.dimension + half + k] = static_cast<float>(std::cos(angle));
    }
  }
  return result.to(ages.device());
}

}  // namespace namm::memory
