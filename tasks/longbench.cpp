#include "tasks/longbench.h"

#include "core/errors.h"
#include "core/text.h"
#include "tasks/longbench_format.h"

namespace namm::tasks {
namespace {

constexpr std::string_view plain_prefix = "longbench/", e_prefix = "longbench-e/";

/// The row of a task's data set; null when there is no such task.
const LongBenchTask* data_set_of(std::string_view name) {
  const bool is_e = name.starts_with(e_prefix);
  if (!is_e && !name.starts_with(plain_prefix)) return nullptr;
  const LongBenchTask* row = find_longbench_task(name.substr((is_e ? e_prefix : plain_prefix).size()));
  return row && is_e && row->e_records == 0 ? nullptr : row;
}

}  // namespace

std::vector<std::string> longbench_names() {
  std::vector<std::string> names;
  for (const LongBenchTask& task : longbench_tasks())
    names.push_back(std::string(plain_prefix) + std::string(task.name));
  for (const LongBenchTask& task : longbench_tasks()) {
    if (task.e_records > 0) names.push_back(std::string(e_prefix) + std::string(task.name));
  }
  return names;
}

std::string longbench_file(std::string_view name) {
  const LongBenchTask* data_set = data_set_of(name);
  if (!data_set) throw ConfigError(format_text("'{}' is no task", name));
  return std::string(data_set->name) + (name.starts_with(e_prefix) ? "_e.jsonl" : ".jsonl");
}

std::unique_ptr<Task> make_longbench_task(const std::string& name, const TaskConfig& config,
                                          const DataConfig& data, int64_t max_positions) {
  const std::string file = longbench_file(name);
  return make_longbench_format_task(
      name, *data_set_of(name), config,
      {.data = data.longbench,
       .prompts = data.prompts,
       .dictionaries = data.dictionaries,
       .file = file,
       .predictions = name.starts_with(e_prefix) ? "" : std::string(data_set_of(name)->name),
       .data_key = "data.longbench",
       .origin = longbench_origin},
      config.truncation, max_positions);
}

}  // namespace namm::tasks
