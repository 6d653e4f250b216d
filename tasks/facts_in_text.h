#pragma once

#include <memory>

#include "tasks/task.h"
#include "tasks/task_list.h"

namespace namm::tasks {

/// The task "needle/facts": generated facts ("The code for Paris is 4821.") scattered in sentences of real
/// text, contexts of exactly `context_tokens` tokens. Questions end in the middle of the answering sentence,
/// so base models can be asked; no chat wrapper belongs around them. Throws DataError for an unusable
/// haystack.
std::unique_ptr<Task> make_facts_in_text_task(const TaskConfig& config);

}  // namespace namm::tasks
