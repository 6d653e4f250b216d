#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/metrics/infinitebench/infinitebench.h"
#include "tasks/metrics/metric_list.h"

namespace namm::tasks {

/// Everything `namm score` can be told with --set, and the number of threads.
struct ScoreSettings {
  MetricOptions metric = {};
  InfiniteBenchOptions infinitebench = {};
  bool buckets =
      false;  ///< LongBench-E: dataset scores by the records' `length` (below 4,000, 8,000, the rest)
  bool skip_bad_records = false;    ///< leave refused records out, counted and listed
  std::filesystem::path data = {};  ///< folder or zip with <data set>.jsonl to count records in; empty: none
  int jobs = 1;                     ///< threads; the results do not depend on it
};

/// Takes the `key=value` texts of `--set` that `benchmark` knows. Throws ConfigError with the list for
/// others.
ScoreSettings parse_score_settings(std::string_view benchmark, const std::vector<std::string>& assignments);

/// Keys, values and benchmarks of all settings, for people.
std::string describe_score_settings();

}  // namespace namm::tasks
