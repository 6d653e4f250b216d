#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/longbench_tasks.h"
#include "tasks/task.h"
#include "tasks/task_list.h"

namespace namm::tasks {

/// Where the files come from, for messages.
inline constexpr const char* choubun_origin =
    "get the data set SakanaAI/ChouBun and write its Parquet files as JSON lines with "
    "experiments/parquet-records";

/// The four data sets of ChouBun (benchmarks 4), in LongBench's format.
std::span<const LongBenchTask> choubun_tasks();

/// Null when there is no data set of this name.
const LongBenchTask* find_choubun_task(std::string_view name);

/// "choubun/<data set>".
std::vector<std::string> choubun_names();

/// "wiki_qa.jsonl" of "choubun/wiki_qa". Throws ConfigError for another name.
std::string choubun_file(std::string_view name);

/// Opens one data set of the user's download. Prompts are cut by the released rule, the only one there is.
/// Throws as make_longbench_format_task.
std::unique_ptr<Task> make_choubun_task(const std::string& name, const TaskConfig& config,
                                        const DataConfig& data, int64_t max_positions);

}  // namespace namm::tasks
