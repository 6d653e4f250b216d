#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tasks/task.h"
#include "tasks/task_list.h"

namespace namm::tasks {

/// "longbench/<data set>" for the 21 data sets, then "longbench-e/<data set>" for the 13 of LongBench-E.
std::vector<std::string> longbench_names();

/// Opens one data set of the user's download: every record is checked once, then read when it is asked for. A
/// sample has one question without text: the context is the whole prompt, truncated by the benchmark's rule
/// to max_prompt_tokens or, where that is 0, to what `max_positions` (0: no limit) leave beside the answer.
/// Throws ConfigError when no folder is set or the metric is not supported, DataError (file:line) for a
/// missing file or malformed record.
std::unique_ptr<Task> make_longbench_task(const std::string& name, const TaskConfig& config,
                                          const DataConfig& data, int64_t max_positions);

}  // namespace namm::tasks
