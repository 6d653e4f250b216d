#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <ATen/ATen.h>

#include "memory/session.h"
#include "models/archive.h"
#include "models/sampler.h"

namespace namm::models {

struct GeneratorOptions {
  /// Most tokens of one row in a step. Rows are cut at their own multiples of the policy's period as well;
  /// results do not depend on it beyond rounding (namm-semantics 1.12).
  int64_t chunk_tokens = 512;
};

/// Called between steps of a long prompt with the tokens read so far and in all.
using PrefillProgress = std::function<void(int64_t done, int64_t total)>;

/// Called with every generated token: index of the row, id, and the float32 logits [vocabulary] that it was
/// chosen by. Returns whether the row goes on.
using TokenObserver = std::function<bool(size_t row, int64_t id, const at::Tensor& logits)>;

struct Scored {
  double log_likelihood = 0;  ///< sum over the target's tokens of log p(token | everything before)
  int64_t tokens = 0;         ///< of the target
  bool greedy_match =
      false;  ///< every token of the target is the argmax, i.e. greedy decoding gives the target
};

/// Drives an archive over the rows of a session: prefill in chunks, greedy decoding, scoring of given
/// answers. Rows of different lengths share every step. Thread: that of the session.
class Generator {
 public:
  Generator(std::shared_ptr<const Archive> archive, memory::Session& session, GeneratorOptions options = {});

  /// Reads ids[i] (not empty) into rows[i]; updates fall due on the way. Returns float32 logits [rows,
  /// vocabulary] after each row's last token.
  at::Tensor prefill(std::span<const memory::RowId> rows, std::span<const std::vector<int64_t>> ids,
                     const PrefillProgress& progress = {});

  /// As `prefill`, but updates that fall due at the very end are left to the caller, who may fork the rows
  /// first: Session::update then makes them, for all forks of a row from features computed once.
  at::Tensor prefill_until_update(std::span<const memory::RowId> rows,
                                  std::span<const std::vector<int64_t>> ids);

  /// Continues rows[i] from `logits` [rows, vocabulary]: at most max_new_tokens[i] ids, a stop id included as
  /// the last one where it was produced. Draws are keyed by i. The last id of a row is never fed
  /// (namm-semantics 1.10).
  std::vector<std::vector<int64_t>> generate(std::span<const memory::RowId> rows, at::Tensor logits,
                                             std::span<const int64_t> max_new_tokens,
                                             std::span<const int64_t> stop_ids, const Sampler& sampler,
                                             const TokenObserver& on_token = {});

  /// `generate` with the most likely token each time, the lowest id of equal ones.
  std::vector<std::vector<int64_t>> greedy(std::span<const memory::RowId> rows, at::Tensor logits,
                                           std::span<const int64_t> max_new_tokens,
                                           std::span<const int64_t> stop_ids,
                                           const TokenObserver& on_token = {});

  /// Reads prompts[i] and then targets[i] (both not empty) in rows[i] and scores the targets; one pass, no
  /// decoding. Updates fall due as they would in decoding; the last id of a target is not read.
  std::vector<Scored> score(std::span<const memory::RowId> rows,
                            std::span<const std::vector<int64_t>> prompts,
                            std::span<const std::vector<int64_t>> targets);

 private:
  /// Called after each step with a row's index, how many of its ids were read before, and the hidden states
  /// [n, hidden] of those that the step read.
  using ReadObserver = std::function<void(size_t row, int64_t begin, const at::Tensor& hidden)>;

  at::Tensor step(std::span<const memory::RowId> rows, std::span<const int64_t> lengths,
                  const std::vector<int64_t>& ids);
  void read(std::span<const memory::RowId> rows, std::span<const std::vector<int64_t>> ids,
            const ReadObserver& observe, bool leaves_last_update, const PrefillProgress& progress = {});
  at::Tensor prefill(std::span<const memory::RowId> rows, std::span<const std::vector<int64_t>> ids,
                     bool leaves_last_update, const PrefillProgress& progress);

  std::shared_ptr<const Archive> archive_;
  memory::Session& session_;
  GeneratorOptions options_;
};

}  // namespace namm::models
