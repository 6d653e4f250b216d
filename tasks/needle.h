#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tasks/task.h"
#include "tasks/task_list.h"
#include "tasks/word_facts.h"

namespace namm::tasks {

/// The task "needle/<kind>": contexts of exactly `context_tokens` tokens in the words of the shipped small
/// model (any tokenizer works), with several questions each. Throws ConfigError when the facts do not fit.
std::unique_ptr<Task> make_needle_task(NeedleKind kind, const TaskConfig& config);

std::string needle_name(NeedleKind kind);

/// 1 when the answer stands at the beginning of the prediction, else 0: white space before it is skipped,
/// runs of white space count as one blank, and no letter or digit may follow directly. What comes after the
/// answer does not matter.
double exact_prefix(const std::string& prediction, const std::string& answer);

/// The largest `exact_prefix` over all accepted answers.
double best_exact_prefix(const std::string& prediction, const std::vector<std::string>& answers);

}  // namespace namm::tasks
