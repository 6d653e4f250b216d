#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tasks/task.h"

namespace namm::tasks {

/// Settings of all tasks; a task reads those that it names in the README. Paths are absolute or relative to the working
/// directory (the config layer has resolved them).
struct TaskConfig {
  uint64_t seed = 1;  ///< of generated tasks and of the record splits

  // Generated tasks.
  int64_t context_tokens = 1024;     ///< exact length of every context, BOS included
  int64_t questions_per_context = 8;
  double density = 1.0;              ///< number of facts, as a multiple of the default for this length
  double decoys = 0.35;              ///< share of noise sentences with names and numbers in them (word tasks)
  std::string haystack;              ///< needle/facts: text file, or .jsonl with `context` fields; empty: the shipped text
  int64_t facts_per_context = 6;     ///< needle/facts, at context_tokens <= 512; grows with length
  std::string fact_kind = "mixed";   ///< needle/facts: number | word | update | mixed

  // LongBench.
  std::string longbench;               ///< folder with <task>.jsonl, or with data/<task>.jsonl
  std::string prompts;                 ///< the official repository's config folder; empty: our own unofficial templates
  int64_t max_prompt_tokens = 0;       ///< prompts are cut in the middle to this; 0: never
  std::string truncation = "official";  ///< official | released (the released NAMM code's rule, namm-semantics 9.2)
  std::string record_splits = "test";   ///< test: every record is a test sample | disjoint | shared (as the paper: all in all)
  bool skip_bad_records = false;        ///< leave malformed records out and count them
};

/// Names of all tasks, in the order of the documentation.
std::vector<std::string> task_names();

/// Opens a task. Throws ConfigError on an unknown name (the text lists all) or impossible settings, DataError on a missing
/// or malformed data file.
std::unique_ptr<Task> make_task(const std::string& name, const TaskConfig& config);

}  // namespace namm::tasks
