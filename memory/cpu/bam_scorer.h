#pragma once

#include <vector>

#include <ATen/ATen.h>

#include "memory/bam_scorer.h"

namespace namm::memory::cpu {

/// bam_scores of memory/bam_scorer.h by the kernels, arguments checked; features and theta float32. Blocks of
/// tokens go through projection, attention to newer tokens, residual and final map without a matrix of
/// segment by segment.
at::Tensor bam_scores(const at::Tensor& features, const std::vector<BamSegment>& segments,
                      const at::Tensor& theta, const BamConfig& config);

}  // namespace namm::memory::cpu
