#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "memory/backend.h"
#include "memory/shape.h"
#include "memory/spectrogram.h"

namespace namm::memory {

/// What a policy wants computed before it decides; only this is computed and stored.
struct Needs {
  std::optional<SpectrogramConfig> spectrogram = std::nullopt;  ///< LayerView::ema
  bool column_sums = false;                                     ///< LayerView::column_sums
  bool key_norms = false;                                       ///< LayerView::key_norms
  int64_t recent_queries = 0;       ///< LayerView::recent_attention, over so many queries; 0: not needed
  bool key_similarity = false;      ///< LayerView::key_similarity
  bool expected_attention = false;  ///< LayerView::expected_attention

  /// What needs the probabilities of the recorded queries.
  bool probabilities() const { return spectrogram.has_value() || column_sums || recent_queries > 0; }
  /// What needs queries to be recorded.
  bool attention() const { return probabilities() || expected_attention; }
};

/// When a policy decides: after every `period_tokens` tokens of a row, never where it is 0 (`full`).
struct Schedule {
  int64_t period_tokens = 0;
};

/// One row of a batch at an update.
struct RowView {
  int64_t member = 0;  ///< row of the policy's parameters [members, n]
  int64_t tag = 0;     ///< the caller's name of the sequence: keys random draws and recorded budgets
  int64_t tokens_processed = 0;  ///< tokens read so far; a multiple of the period
  int64_t update = 0;            ///< updates this row had before
};

/// The cached tokens of the due rows in one layer, packed: the segment of (row r, KV head h) is
/// [offsets[r * Hk + h], offsets[r * Hk + h + 1]), oldest token first. N = offsets.back().
/// Attention is rounded to the spectrogram's attention_dtype wherever a spectrogram is needed too.
struct LayerView {
  int64_t layer = 0;
  std::vector<int64_t> offsets;  ///< [rows * Hk + 1]
  at::Tensor positions;  ///< int64 [N], original index of the token in its row, increasing inside a segment
  at::Tensor ema;        ///< float32 [N, D], E of namm-semantics 2.4, not normalised; undefined unless needed
  at::Tensor column_sums;  ///< float32 [N], attention received so far, summed over all queries since the
                           ///< token was read and averaged over its group's heads; undefined unless needed
  at::Tensor key_norms;    ///< float32 [N], Euclidean norms of the cached keys; undefined unless needed
  at::Tensor recent_attention;  ///< float32 [N], attention received from the row's last Needs::recent_queries
                                ///< queries (all since the last update where they are fewer), summed,
                                ///< averaged over the group's heads; undefined unless needed
  at::Tensor key_similarity;    ///< float32 [N], cosine of the cached key and the mean direction of its
                                ///< segment's keys; undefined unless needed
  at::Tensor expected_attention;  ///< float32 [N], attention that a query drawn from the normal distribution
                                  ///< of the queries since the last update would pay, times the norm of the
                                  ///< cached value; undefined unless needed
  at::Tensor protected_tokens = {};  ///< bool [N], tokens that must stay (protection.h), the newest of each
                                     ///< segment among them; undefined where a session protects nothing
};

/// Everything a policy may look at: all layers of the rows that are due.
struct UpdateView {
  TransformerShape shape;
  int64_t token_bytes = 0;  ///< that one token's key and value take in one layer and KV head after
                            ///< the update, a moved key twice
  Backend backend = Backend::automatic;  ///< of what the policy computes itself
  std::vector<RowView> rows;
  std::vector<LayerView> layers;
};

/// Which tokens of a layer stay. The newest token of every segment must, and those that are protected.
struct KeepDecision {
  at::Tensor keep;     ///< bool [N], packed as LayerView
  at::Tensor lengths;  ///< int32 [rows, Hk], tokens kept, on the device of `keep`
  at::Tensor scores =
      {};  ///< float32 [N], what the policy computed by the backend to decide; may be undefined
  at::Tensor excess = {};  ///< int32 [rows, Hk], tokens kept beyond the budget because they are protected;
                           ///< undefined where there are none
};

/// A rule that says which cached tokens to forget (design 3.2). Implementations are immutable and shared
/// between sessions and threads: the same view gives the same decision; random draws are keyed by the view.
class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;

  virtual std::string name() const = 0;
  virtual Needs needs() const = 0;
  virtual Schedule schedule() const = 0;

  /// One decision a layer, in the order of `view.layers`; budgets and evidence may cross layers.
  virtual std::vector<KeepDecision> decide(const UpdateView& view) const = 0;
};

/// Base of the policies that look at one layer at a time.
class PerLayerPolicy : public EvictionPolicy {
 public:
  std::vector<KeepDecision> decide(const UpdateView& view) const final;

 protected:
  virtual KeepDecision decide_layer(const UpdateView& view, const LayerView& layer) const = 0;
};

/// Keeps everything and never runs: the full cache.
bool keeps_everything(const EvictionPolicy& policy);

}  // namespace namm::memory
