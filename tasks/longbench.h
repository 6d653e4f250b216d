#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/task.h"
#include "tasks/task_list.h"

namespace namm::tasks {

/// Where the files come from, for messages.
inline constexpr const char* longbench_origin =
    "get data.zip of the data set THUDM/LongBench and name it, or the folder it was unpacked to";

/// "longbench/<data set>" for the 21 data sets, then "longbench-e/<data set>" for the 13 of LongBench-E.
std::vector<std::string> longbench_names();

/// "trec.jsonl" of "longbench/trec", "trec_e.jsonl" of "longbench-e/trec". Throws ConfigError for another
/// name.
std::string longbench_file(std::string_view name);

/// Opens one data set of the user's download (`make_longbench_format_task`). Throws ConfigError when no
/// folder is set, DataError (file:line) for a missing file or bad record.
std::unique_ptr<Task> make_longbench_task(const std::string& name, const TaskConfig& config,
                                          const DataConfig& data, int64_t max_positions);

}  // namespace namm::tasks
