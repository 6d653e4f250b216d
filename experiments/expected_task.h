#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "experiments/experiment.h"
#include "tasks/task.h"

namespace namm::experiments {

/// A task without its files, as far as its benchmark's own description tells: info() and count(); sample()
/// and score() throw DataError. Generated tasks (needle/...) have no count. With `record_splits: disjoint`
/// the splits are 40, 10 and 50 % of the official records, which real files meet within a few records. Throws
/// ConfigError for a name that is no task's.
std::unique_ptr<tasks::Task> make_expected_task(const std::string& name, const tasks::TaskConfig& config);

/// Tokens of a context, where they are not measured.
struct ExpectedLength {
  int64_t tokens = 0;
  std::string source;  ///< where the number comes from, a sentence's part
};

/// Mean tokens of a context of a task: generated tasks by configuration; benchmarks by their published mean
/// length (LongBench, arXiv 2308.14508, table 1: words or Chinese characters; InfiniteBench, arXiv
/// 2402.13718, table 2: tokens), at most `max_prompt_tokens` or the model's positions. Throws ConfigError
/// where neither a length nor a limit is known.
ExpectedLength expected_length(const std::string& name, const tasks::TaskConfig& config,
                               int64_t max_positions);

}  // namespace namm::experiments
