#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace namm::tasks {

/// What the official repository fixes for one InfiniteBench data set (benchmarks 3.1).
struct InfiniteBenchTask {
  std::string_view name;          ///< of the file and the scorer's function: "kv_retrieval"
  std::string_view paper_name;    ///< "Retrieve.KV"
  std::string_view language;      ///< en, zh, code or math
  int64_t generation_tokens;      ///< DATA_NAME_TO_MAX_NEW_TOKENS
  bool choice;                    ///< four options; the label is the answer with its letter
  int64_t records;                ///< in the official file; uploads differ
  std::string_view plain_prompt;  ///< template of our own, unofficial
};

std::span<const InfiniteBenchTask> infinitebench_tasks();

/// Null when there is no data set of this name.
const InfiniteBenchTask* find_infinitebench_task(std::string_view name);

}  // namespace namm::tasks
