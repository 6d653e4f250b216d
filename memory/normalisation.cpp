#include "memory/normalisation.h"

#include <cmath>
#include <string>

#include "core/errors.h"

namespace namm::memory {

FeatureStatistics FeatureStatistics::from_variance(int64_t count, std::span<const double> mean,
                                                   std::span<const double> variance) {
  TORCH_CHECK(count > 0 && mean.size() == variance.size(), "[statistics] ", mean.size(), " means and ",
              variance.size(), " variances of ", count, " values");
  FeatureStatistics statistics{count, {mean.begin(), mean.end()}, {variance.begin(), variance.end()}};
  for (double& m2 : statistics.m2) m2 *= static_cast<double>(count);
  return statistics;
}

std::vector<double> FeatureStatistics::variance() const {
  std::vector<double> result = m2;
  for (double& value : result) value /= static_cast<double>(count);
  return result;
}

void FeatureStatistics::accumulate(const at::Tensor& values) {
  TORCH_CHECK(values.dim() == 2, "[statistics] values must be [tokens, features], are ", values.sizes());
  if (values.size(0) == 0) return;
  const at::Tensor wide = values.to(at::kDouble);
  const at::Tensor part_mean = wide.mean(0);
  const at::Tensor numbers = at::stack({part_mean, (wide - part_mean).square().sum(0)}).to(at::kCPU);
  TORCH_CHECK(numbers.isfinite().all().item<bool>(),
              "[statistics] features are not finite: the model's attention is broken");
  const double* data = numbers.const_data_ptr<double>();
  const auto features = static_cast<size_t>(values.size(1));
  merge({values.size(0), {data, data + features}, {data + features, data + 2 * features}});
}

void FeatureStatistics::merge(const FeatureStatistics& other) {
  if (other.count == 0) return;
  if (count == 0) {
    *this = other;
    return;
  }
  TORCH_CHECK(features() == other.features(), "[statistics] ", features(), " features do not merge with ",
              other.features());
  const double here = static_cast<double>(count), there = static_cast<double>(other.count),
               all = here + there;
  for (size_t f = 0; f < mean.size(); ++f) {
    const double distance = other.mean[f] - mean[f];
    mean[f] += distance * (there / all);
    m2[f] += other.m2[f] + distance * distance * (here * there / all);
  }
  count += other.count;
}

at::Tensor FeatureStatistics::apply(const at::Tensor& ema) const {
  if (count == 0) return ema;
  TORCH_CHECK(ema.dim() >= 1 && ema.size(-1) == features(), "[statistics] of ", features(),
              " features, applied to ", ema.sizes());
  const at::Tensor centre = at::tensor(mean, at::kFloat).to(ema.device());
  const at::Tensor spread = at::tensor(variance(), at::kFloat).sqrt().clamp_min(1e-7).to(ema.device());
  return (ema - centre) / spread;
}

std::vector<double> FeatureStatistics::to_values() const {
  std::vector<double> values;
  if (count == 0) return values;
  values.push_back(static_cast<double>(count));
  values.insert(values.end(), mean.begin(), mean.end());
  values.insert(values.end(), m2.begin(), m2.end());
  return values;
}

FeatureStatistics FeatureStatistics::from_values(std::span<const double> values) {
  if (values.empty()) return {};
  const double first = values.front();
  bool valid = values.size() % 2 == 1 && values.size() >= 3 && first >= 1 && first <= 9007199254740992.0 &&
               first == std::floor(first);
  const size_t features = values.size() / 2;
  for (size_t i = 1; valid && i < values.size(); ++i)
    valid = std::isfinite(values[i]) && (i <= features || values[i] >= 0);
  if (!valid) {
    throw DataError("statistics of features: want a count, D finite means and D sums of squares, got " +
                    std::to_string(values.size()) + " numbers that are not these");
  }
  const auto means = values.subspan(1, features), squares = values.subspan(1 + features);
  return {static_cast<int64_t>(first), {means.begin(), means.end()}, {squares.begin(), squares.end()}};
}

}  // namespace namm::memory
