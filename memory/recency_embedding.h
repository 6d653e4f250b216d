#pragma once

#include <cstdint>

#include <ATen/ATen.h>

#include "core/config.h"

namespace namm::memory {

/// The age of a token as sines and cosines of geometrically falling frequencies (namm-semantics 4).
struct RecencyConfig {
  int64_t dimension = 8;         ///< numbers a token; even
  double max_frequency = 50000;  ///< phi_k = max_frequency^(-k / (dimension / 2))

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("dimension", self.dimension, between(2, 1024), "numbers of the recency embedding, even");
    visit("max_frequency", self.max_frequency, above(1), "base of the falling frequencies");
  }
  void check(const ConfigNode& node) const;  ///< dimension is even

  bool operator==(const RecencyConfig&) const = default;
};

/// All sines, then all cosines of age * phi_k, computed in float64 and rounded once; no age is out of range.
///   ages int64 [N], at least 0. Returns float32 [N, dimension] on the device of `ages`.
at::Tensor recency_embedding(const at::Tensor& ages, const RecencyConfig& config);

}  // namespace namm::memory
