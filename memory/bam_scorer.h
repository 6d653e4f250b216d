#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "core/config.h"
#include "memory/backend.h"

namespace namm::memory {

/// Backward-attention memory (BAM): one attention layer in which a token sees itself and newer tokens only, a
/// residual, and a linear map to a score (namm-semantics 5; arXiv 2410.13166, section 3.2).
struct BamConfig {
  int64_t hidden_dim = 32;  ///< width of queries, keys, values
  int64_t heads = 1;        ///< attention heads; share hidden_dim evenly
  bool bias = true;         ///< of the attention's linear maps; the final map always has one
  bool mult = true;         ///< y = z * (1 + t) + u, else y = z + u

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("hidden_dim", self.hidden_dim, between(1, 4096), "width of the scorer's queries, keys and values");
    visit("heads", self.heads, between(1, 4096), "attention heads of the scorer; divides hidden_dim");
    visit("bias", self.bias, "biases of the scorer's attention");
    visit("mult", self.mult, "multiplicative part of the residual");
  }
  void check(const ConfigNode& node) const;  ///< heads divides hidden_dim

  bool operator==(const BamConfig&) const = default;
};

/// One matrix of a flat parameter vector: entry (i, o) at offset + i * cols + o, i the input. A bias has one
/// row.
struct ParameterBlock {
  std::string name;
  int64_t offset = 0, rows = 0, cols = 0;

  bool operator==(const ParameterBlock&) const = default;
};

/// Blocks of theta in their order: qkv.weight, qkv.bias, out.weight, out.bias, score.weight, score.bias
/// (namm-semantics 5.1).
std::vector<ParameterBlock> bam_layout(const BamConfig& config, int64_t features);

/// Length of theta: 4172 in the paper's setting (25 features).
int64_t bam_parameters(const BamConfig& config, int64_t features);

/// The tokens of one (row, KV head): [begin, end) of the packed tokens, oldest first, scored with row
/// `member` of theta.
struct BamSegment {
  int64_t begin = 0, end = 0, member = 0;
};

/// Score of every token from the features of its segment. Segments do not see each other, and neither their
/// order nor what else is in the call changes a bit of a segment's scores.
///   features [N, F] float32, theta [members, n] float32 on the same device; segments cover [0, N). Returns
///   float32 [N].
at::Tensor bam_scores(const at::Tensor& features, const std::vector<BamSegment>& segments,
                      const at::Tensor& theta, const BamConfig& config,
                      Backend backend = Backend::automatic);

/// The same by the formulas, with an explicit mask; also in float64 where the inputs are.
at::Tensor bam_scores_reference(const at::Tensor& features, const std::vector<BamSegment>& segments,
                                const at::Tensor& theta, const BamConfig& config);

}  // namespace namm::memory
