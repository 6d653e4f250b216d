#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <ATen/ATen.h>

#include "memory/eviction_policy.h"
#include "memory/namm_config.h"
#include "memory/normalisation.h"
#include "memory/policies/namm.h"
#include "memory/row_state.h"
#include "memory/session.h"

namespace namm::memory {

/// The n tokens that one KV head holds at one update under the full cache: what a scorer reads of them, and
/// the attention they get, averaged over the head's group and summed over queries.
struct TracedHead {
  int64_t update = 0, layer = 0, kv_head = 0;
  at::Tensor features;            ///< float32 [n, F], as NammPolicy::features
  at::Tensor received;            ///< float32 [n], from all queries up to the update
  at::Tensor recent;              ///< float32 [n], of it, from the queries since the update before
  at::Tensor later;               ///< float32 [n], from the context's queries after the update
  at::Tensor answering;           ///< float32 [n], from the queries of questions and answers
  int64_t later_queries = 0;      ///< how many gave `later`
  int64_t answering_queries = 0;  ///< how many gave `answering`

  int64_t tokens() const { return features.size(0); }
};

/// Records one context of a session under the full cache, update by update, and the attention that its tokens
/// receive afterwards: the evidence from which a scorer can be fitted before it is evolved. Everything is on
/// the processor.
///
///   AttentionTrace trace(config, statistics, choice);
///   Session context(AttentionTrace::context_options(options, config));
///   context.set_observer([&](const UpdateView& view) { trace.add_update(view); });
///   ... the context is read up to its last whole period ...
///   Session rest(AttentionTrace::rest_options(options, all_tokens));
///   rest.set_observer([&](const UpdateView& view) { trace.add_rest(view); });
///   rest.adopt(AttentionTrace::bare(context.state(row))); ... what is left is read ...
class AttentionTrace {
 public:
  /// Which heads are recorded at which update; all others cost nothing.
  using Choice = std::function<bool(int64_t update, int64_t layer, int64_t kv_head)>;

  /// `statistics` normalise the features, as they will when the scorer is used.
  AttentionTrace(const NammConfig& config, const FeatureStatistics& statistics, Choice choice);

  /// `options` for a session that reads the context: the full cache, and what add_update needs every period.
  static SessionOptions context_options(SessionOptions options, const NammConfig& config);
  /// `options` for a session that goes on from a row that has just been updated, and updates once more when
  /// the row has read `tokens` in all.
  static SessionOptions rest_options(SessionOptions options, int64_t tokens);
  /// A row that has just been updated as a session of rest_options goes on from it. TORCH_CHECK: it has.
  static RowState bare(const RowState& row);

  /// An update of the context's row, the only one of the view. TORCH_CHECK: nothing was evicted.
  void add_update(const UpdateView& view);
  /// What the context's tokens received after its last update, from the rest of the context.
  void add_rest(const UpdateView& view);
  /// What they received from a question and its answer; once for each question.
  void add_answering(const UpdateView& view);

  /// The recorded heads in the order of update, layer, head, as tensors that autograd takes.
  std::vector<TracedHead> take();

 private:
  void add_later(const UpdateView& view, bool answering);

  NammConfig config_;
  NammPolicy reader_;  ///< of the features; its parameters are never asked
  Choice choice_;
  std::vector<TracedHead> heads_;
  std::vector<at::Tensor> received_;  ///< [L] of float32 [Hk, n], up to the last update
  int64_t tokens_ = 0;                ///< read up to the last update or rest
};

}  // namespace namm::memory
