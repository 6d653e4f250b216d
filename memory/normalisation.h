#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/ATen.h>

namespace namm::memory {

/// Count, mean and sum of squared deviations of every spectrogram feature over (head, token) pairs, shared by
/// all layers and heads (namm-semantics 3). Collected once by a calibration pass under the full cache and
/// frozen from then on; part of the memory, stored in checkpoints and memory files. All in float64; merging
/// the same parts in the same order gives the same bits.
struct FeatureStatistics {
  int64_t count = 0;         ///< (head, token) pairs
  std::vector<double> mean;  ///< [D]; empty where nothing was collected
  std::vector<double> m2;    ///< [D], sum of (E - mean)^2

  /// The statistics behind a stored biased variance [D].
  static FeatureStatistics from_variance(int64_t count, std::span<const double> mean,
                                         std::span<const double> variance);

  int64_t features() const { return static_cast<int64_t>(mean.size()); }
  /// Biased (population) variance [D].
  std::vector<double> variance() const;

  /// Adds every row of values [N, D] float32. TORCH_CHECK: values are finite and D is that of the first call.
  void accumulate(const at::Tensor& values);
  /// Adds what `other` collected (Chan, Golub, LeVeque 1979). TORCH_CHECK: the same D.
  void merge(const FeatureStatistics& other);

  /// (E - mean) / max(sqrt(variance), 1e-7) in float32, mean and variance rounded to float32 first
  /// (namm-semantics 3.3); E itself where count is 0. E [..., D] float32, any device.
  at::Tensor apply(const at::Tensor& ema) const;

  /// One row of numbers: count, mean [D], m2 [D]; what checkpoints and work items carry. Empty where count is
  /// 0.
  std::vector<double> to_values() const;
  /// Throws DataError for a row that to_values cannot have made.
  static FeatureStatistics from_values(std::span<const double> values);

  bool operator==(const FeatureStatistics&) const = default;
};

}  // namespace namm::memory
