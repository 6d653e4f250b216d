#pragma once

#include <string>

#include <ATen/ATen.h>

#include "core/hdf5.h"
#include "memory/normalisation.h"

namespace namm::testing {

/// Data set `name` as a float32 tensor of its shape.
inline at::Tensor floats(const Hdf5File& file, const std::string& name) {
  const Hdf5Array<float> array = file.read<float>(name);
  return at::tensor(array.values, at::kFloat).view(array.shape);
}

/// Data set `name` as an int64 tensor of its shape.
inline at::Tensor integers(const Hdf5File& file, const std::string& name) {
  const Hdf5Array<int64_t> array = file.read<int64_t>(name);
  return at::tensor(array.values, at::kLong).view(array.shape);
}

/// Group `policy` of a recording: theta [1, n].
inline at::Tensor recorded_theta(const Hdf5File& file) {
  return floats(file, "policy/theta").unsqueeze(0);
}

/// Group `policy` of a recording: the stored statistics.
inline memory::FeatureStatistics recorded_statistics(const Hdf5File& file) {
  return memory::FeatureStatistics::from_variance(file.read<int64_t>("policy/norm_count", {1})[0],
                                                  file.read<double>("policy/norm_mean", {-1}),
                                                  file.read<double>("policy/norm_var", {-1}));
}

}  // namespace namm::testing
