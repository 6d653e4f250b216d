#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace namm::tasks {

/// What the official repository fixes for one LongBench data set (benchmarks 2.2).
struct LongBenchTask {
  std::string_view name;
  std::string_view language;      ///< en, zh or code
  int64_t generation_tokens;      ///< dataset2maxlen.json
  std::string_view metric;        ///< official function
  bool first_line;                ///< only the prediction's first line is scored
  bool chat;                      ///< a chat model's wrapper goes around the prompt
  int64_t records;                ///< in the official file
  int64_t e_records;              ///< in that of LongBench-E; 0: not part of it
  std::string_view plain_prompt;  ///< template of our own, unofficial
};

std::span<const LongBenchTask> longbench_tasks();

/// Null when there is no data set of this name.
const LongBenchTask* find_longbench_task(std::string_view name);

}  // namespace namm::tasks
