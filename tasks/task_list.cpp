#include "tasks/task_list.h"

#include <array>
#include <optional>

#include "core/errors.h"
#include "core/text.h"
#include "tasks/choubun.h"
#include "tasks/facts_in_text.h"
#include "tasks/infinitebench.h"
#include "tasks/longbench.h"
#include "tasks/needle.h"
#include "tasks/records/benchmark_folder.h"

namespace namm::tasks {
namespace {

constexpr std::array needle_kinds = {NeedleKind::key_value, NeedleKind::hop, NeedleKind::passage,
                                     NeedleKind::classify, NeedleKind::stale};

/// Where the records and prompts of one task are.
struct Sources {
  std::filesystem::path records;
  std::string file;
  std::filesystem::path prompts;
  std::vector<std::string> prompt_files;
};

Sources sources_of(const std::string& name, const DataConfig& data) {
  const std::vector<std::string> longbench_prompts{"dataset2prompt.json", "dataset2maxlen.json"};
  if (name.starts_with("infinitebench/")) {
    return {data.infinitebench.value,
            infinitebench_file(name),
            data.infinitebench_prompts.value,
            {"prompt.py", "eval_utils.py"}};
  }
  if (name.starts_with("choubun/")) {
    return {data.choubun.value, choubun_file(name), data.choubun_prompts.value, longbench_prompts};
  }
  return {data.longbench.value, longbench_file(name), data.prompts.value, longbench_prompts};
}

/// A file in a folder; of an archive the archive itself.
std::optional<std::filesystem::path> place_of(const std::filesystem::path& folder, const std::string& file) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(folder, ignored)) return folder;
  if (!std::filesystem::is_directory(folder, ignored)) return std::nullopt;
  const auto files = BenchmarkFolder::open(folder);
  const std::string found = files->find(file);
  return found.empty() ? std::nullopt : std::optional(folder / found);
}

}  // namespace

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (NeedleKind kind : needle_kinds) names.push_back(needle_name(kind));
  for (const std::string& name : facts_in_text_names()) names.push_back(name);
  for (const std::string& name : longbench_names()) names.push_back(name);
  for (const std::string& name : infinitebench_names()) names.push_back(name);
  for (const std::string& name : choubun_names()) names.push_back(name);
  return names;
}

std::unique_ptr<Task> make_task(const std::string& name, const TaskConfig& config, const DataConfig& data,
                                int64_t max_positions) {
  for (NeedleKind kind : needle_kinds) {
    if (name == needle_name(kind)) return make_needle_task(kind, config);
  }
  for (const std::string& known : facts_in_text_names()) {
    if (name == known) return make_facts_in_text_task(name, config);
  }
  for (const std::string& known : longbench_names()) {
    if (name == known) return make_longbench_task(name, config, data, max_positions);
  }
  for (const std::string& known : infinitebench_names()) {
    if (name == known) return make_infinitebench_task(name, config, data, max_positions);
  }
  for (const std::string& known : choubun_names()) {
    if (name == known) return make_choubun_task(name, config, data, max_positions);
  }
  const auto near = nearest(name, task_names());
  throw ConfigError(format_text("task '{}' is unknown{}; the tasks are {}", name,
                                near ? format_text(" (did you mean {}?)", *near) : "",
                                join(task_names(), ", ")));
}

std::vector<std::filesystem::path> task_files(const std::string& name, const TaskConfig& config,
                                              const DataConfig& data) {
  std::vector<std::filesystem::path> files;
  const auto add = [&](const std::filesystem::path& file) {
    std::error_code ignored;
    if (std::filesystem::is_regular_file(file, ignored)) files.push_back(file);
  };
  if (name.starts_with("needle/")) {
    if (name.starts_with("needle/facts")) add(config.haystack.value);
    return files;
  }
  const Sources sources = sources_of(name, data);
  if (const auto records = place_of(sources.records, sources.file)) files.push_back(*records);
  if (!sources.prompts.empty()) {
    for (const std::string& file : sources.prompt_files) add(sources.prompts / file);
  }
  return files;
}

}  // namespace namm::tasks
