#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "experiments/results.h"
#include "memory/budget.h"
#include "memory/eviction_policy.h"
#include "memory/namm_config.h"
#include "memory/normalisation.h"
#include "memory/session.h"
#include "models/archive.h"
#include "tasks/task.h"

namespace namm::experiments {

/// What one member of a population achieved on one context.
struct Outcome {
  double log_likelihood = 0;  ///< of the answers: mean over each one's tokens, then over the questions
  double exact = 0;           ///< the task's metric on the greedy answers, mean over the questions
  double cache_fraction =
      1;  ///< cached tokens at the end of the context / tokens read, mean over layers and heads
  double cache_tokens = 0;  ///< cached tokens at the end of the context, mean over layers and heads

  std::vector<double> to_values() const;
  /// Throws DataError for a row that to_values cannot have made.
  static Outcome from_values(const std::vector<double>& values);
};

/// How contexts are read under any policy.
struct EvaluationOptions {
  int64_t chunk_tokens = 1024;  ///< most tokens of a row in one step
  memory::PositionMode positions = memory::PositionMode::original;
  memory::Backend backend = memory::Backend::automatic;
  memory::Protection protect = {};  ///< its marked text must be in every context
};

/// Runs an archive on contexts of tasks. Immutable; several threads use one at once, each with sessions of
/// its own.
class Evaluation {
 public:
  /// Throws DataError where positions are compacted and the model has no rotary position embedding.
  Evaluation(std::shared_ptr<const models::Archive> archive, EvaluationOptions options);

  const models::Archive& archive() const { return *archive_; }

  /// Scores `members` parameter vectors of `policy` on samples of one task. All rows share every step, and
  /// the stretch of a context before its first update, in which members cannot differ, is read once. Returns
  /// [members, samples], row major. `greedy_answers`: `exact` is wanted; for tasks of another metric than
  /// exact match that means decoding.
  std::vector<Outcome> score(const std::shared_ptr<const memory::EvictionPolicy>& policy, int64_t members,
                             const tasks::Task& task, const std::vector<tasks::Sample>& samples,
                             bool greedy_answers) const;

  /// Statistics of the spectral features of every cached token at every update, over layers and heads, under
  /// the full cache (namm-semantics 3).
  memory::FeatureStatistics calibrate(const memory::NammConfig& config, const tasks::Task& task,
                                      const std::vector<tasks::Sample>& samples) const;

  /// One context under one policy, answers decoded greedily.
  struct ContextRun {
    ContextResult result;
    std::vector<std::string> predictions;  ///< [questions]
    memory::RecordedCounts kept;           ///< of the context and of every question's row
  };
  /// `tag` names the context to the policy: key of its random draws and of recorded budgets. The row of
  /// question q has tag + ((q + 1) << 40), so that what is kept while it is answered is its own.
  ContextRun run(const std::shared_ptr<const memory::EvictionPolicy>& policy, const tasks::Task& task,
                 const tasks::Sample& sample, int64_t tag) const;

  /// Ids that are fed as the context: the sample's, within the model's chat wrapper where the task wants one.
  std::vector<int64_t> context_ids(const tasks::Task& task, const tasks::Sample& sample) const;

 private:
  memory::SessionOptions session_options(std::shared_ptr<const memory::EvictionPolicy> policy) const;
  /// A new row for a context that begins with `ids`.
  memory::RowId add_row(memory::Session& session, const tasks::Task& task, const tasks::Sample& sample,
                        const std::vector<int64_t>& ids, int64_t tag) const;

  std::shared_ptr<const models::Archive> archive_;
  EvaluationOptions options_;
  at::Tensor inverse_frequencies_;  ///< undefined unless positions are compacted
};

}  // namespace namm::experiments
