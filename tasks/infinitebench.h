#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/task.h"
#include "tasks/task_list.h"

namespace namm::tasks {

/// Where the files come from, for messages.
inline constexpr const char* infinitebench_origin =
    "get the files of the data set xinrongzhang2022/InfiniteBench and name their folder";

/// "infinitebench/<data set>", twelve of them.
std::vector<std::string> infinitebench_names();

/// "passkey.jsonl" of "infinitebench/passkey". Throws ConfigError for another name.
std::string infinitebench_file(std::string_view name);

/// Opens one data set of the user's download (benchmarks 3). Prompts are those of TaskConfig::prompt_family
/// in the official prompt.py, cut by `Truncation::infinitebench`; the label that the official scorer sees
/// stands in Question::label. Throws ConfigError when no folder is set, DataError (file:line) for a missing
/// file, a bad record or a prompt file without the task's template.
std::unique_ptr<Task> make_infinitebench_task(const std::string& name, const TaskConfig& config,
                                              const DataConfig& data, int64_t max_positions);

}  // namespace namm::tasks
