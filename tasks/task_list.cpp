#include "tasks/task_list.h"

#include <array>

#include "core/errors.h"
#include "core/text.h"
#include "tasks/choubun.h"
#include "tasks/facts_in_text.h"
#include "tasks/longbench.h"
#include "tasks/needle.h"

namespace namm::tasks {
namespace {

constexpr std::array needle_kinds = {NeedleKind::key_value, NeedleKind::hop, NeedleKind::passage,
                                     NeedleKind::classify, NeedleKind::stale};

}  // namespace

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (NeedleKind kind : needle_kinds) names.push_back(needle_name(kind));
  for (const std::string& name : facts_in_text_names()) names.push_back(name);
  for (const std::string& name : longbench_names()) names.push_back(name);
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
  for (const std::string& known : choubun_names()) {
    if (name == known) return make_choubun_task(name, config, data, max_positions);
  }
  const auto near = nearest(name, task_names());
  throw ConfigError(format_text("task '{}' is unknown{}; the tasks are {}", name,
                                near ? format_text(" (did you mean {}?)", *near) : "",
                                join(task_names(), ", ")));
}

}  // namespace namm::tasks
