#include "experiments/table_layout.h"

#include <algorithm>

#include "core/text.h"
#include "tasks/task_list.h"

namespace namm::experiments {

void TableLayout::check(const ConfigNode& node) const {
  const std::vector<std::string> known = tasks::task_names();
  const auto check_task = [&](const ConfigNode& place, const std::string& key, const std::string& task) {
    if (std::ranges::count(known, task) > 0) return;
    const auto near = nearest(task, known);
    place.fail_entry(key, task,
                     "the name of a task" + (near ? format_text(" (did you mean {}?)", *near) : ""));
  };
  for (const auto& task : columns) check_task(node, "columns", task);
  for (const auto& [name, members] : groups) {
    for (const auto& task : members) check_task(node.at("groups"), name, task);
  }
  for (const auto& [name, parts] : averages) {
    const ConfigNode place = node.at("averages");
    if (parts.empty()) place.fail_entry(name, "[]", "one list of tasks at least");
    for (const auto& part : parts) {
      if (part.empty()) place.fail_entry(name, "[]", "one task at least in each list");
      for (const auto& task : part) check_task(place, name, task);
    }
  }
  for (size_t i = 0; i < published.size(); ++i) {
    const ConfigNode place = node.at("published").item(i);
    if (published[i].method.empty()) place.fail_entry("method", "", "what was measured");
    if (published[i].source.empty()) place.fail_entry("source", "", "where the numbers stand");
    for (const auto& [task, score] : published[i].scores) {
      check_task(place, "scores", task);
    }
  }
  const auto check_name = [&](const char* key, const std::string& name, bool taken) {
    if (taken || name == kMean || name == kMeanEvolved || name == kMeanTransfer ||
        std::ranges::count(known, name) > 0) {
      node.at(key).fail_entry(name, "[...]", "another name: the table has a column of this one");
    }
  };
  for (const auto& [name, tasks] : groups) {
    check_name("groups", name, false);
    if (tasks.empty()) node.at("groups").fail_entry(name, "[]", "one task at least");
  }
  for (const auto& [name, parts] : averages) check_name("averages", name, groups.contains(name));
}

}  // namespace namm::experiments
