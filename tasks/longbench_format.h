#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "tasks/longbench_tasks.h"
#include "tasks/task_list.h"

namespace namm::tasks {

/// Where a benchmark in LongBench's format is read from.
struct LongBenchFormatFiles {
  ConfigPath data = {};     ///< folder or zip archive
  ConfigPath prompts = {};  ///< folder with dataset2prompt.json and dataset2maxlen.json; empty: plain prompts
  ConfigPath dictionaries = {};  ///< DataConfig::dictionaries
  std::string file;              ///< "trec.jsonl"
  std::string predictions;       ///< TaskInfo::predictions
  std::string data_key;          ///< setting that names `data`, for messages
  std::string origin;            ///< where the data come from, for messages
};

/// A data set in LongBench's format (input, context, answers, length, all_classes, _id; benchmarks 2.1): its
/// records, prompts and metric. `truncation`: "official" or "released". Throws ConfigError when no folder is
/// set, DataError (file:line) for a missing file or bad record.
std::unique_ptr<Task> make_longbench_format_task(const std::string& name, const LongBenchTask& data_set,
                                                 const TaskConfig& config, const LongBenchFormatFiles& files,
                                                 std::string_view truncation, int64_t max_positions);

}  // namespace namm::tasks
