#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tasks/task.h"
#include "tasks/task_list.h"

namespace namm::tasks {

/// "needle/facts", whose facts are of the kind that the config says, and one name a kind:
/// "needle/facts_number", "needle/facts_word", "needle/facts_update".
std::vector<std::string> facts_in_text_names();

/// The tasks of these names: generated facts ("The code for Paris is 4821.") scattered in sentences of real
/// text, contexts of exactly `context_tokens` tokens. Questions end in the middle of the answering sentence,
/// so base models can be asked; no chat wrapper belongs around them. Throws DataError for an unusable
/// haystack.
std::unique_ptr<Task> make_facts_in_text_task(const std::string& name, const TaskConfig& config);

}  // namespace namm::tasks
