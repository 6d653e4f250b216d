#include "experiments/cell_samples.h"

#include <set>

#include "core/errors.h"
#include "core/text.h"
#include "experiments/text_grid.h"

namespace namm::experiments {

namespace {

std::string samples_of(const TaskResult& task, const std::string& title) {
  std::vector<double> scores;
  for (const auto& context : task.contexts) scores.push_back(kPercent * context.score());
  const Estimate estimate = estimate_mean(scores);
  TextGrid grid;
  grid.add({"sample", "score", "questions", "prompt tokens", "cached tokens", "cache bytes", "prefill s",
            "decode s"});
  for (const auto& context : task.contexts) {
    std::string questions;
    for (const double score : context.scores)
      questions += (questions.empty() ? "" : " ") + number_text(score, 2);
    grid.add({std::to_string(context.sample), number_text(kPercent * context.score(), 1), questions,
              std::to_string(context.prompt_tokens) + (context.truncated ? " (cut)" : ""),
              number_text(context.mean_cached_tokens(), 1), std::to_string(context.cache_bytes),
              number_text(context.prefill_seconds, 2), number_text(context.decode_seconds, 2)});
  }
  return format_text("{}: {} over {} contexts\n", title, score_text(estimate, 2), estimate.n) +
         grid.markdown();
}

}  // namespace

std::string explain_cell(const std::vector<RunResults>& runs, const std::string& cell) {
  const size_t colon = cell.find(':');
  if (colon == std::string::npos) {
    throw ConfigError("--explain " + cell + ": a cell is named POLICY:TASK, for example namm:needle/hop");
  }
  const std::string policy_name = cell.substr(0, colon);
  const std::string task_name = cell.substr(colon + 1);
  std::string text;
  std::set<std::string> known;
  for (const auto& run : runs) {
    for (const auto& stage : run.stages) {
      for (const auto& policy : stage.policies) {
        for (const auto& task : policy.tasks) {
          known.insert(policy.policy + ":" + task.task);
          if (policy.policy == policy_name && task.task == task_name) {
            text += samples_of(task, format_text("{}, {}, {}", run.name, stage.stage, cell));
            text += format_text("Predictions: predictions/{}/{}/\n", stage.stage, policy_name);
          }
        }
      }
    }
  }
  if (text.empty()) {
    throw ConfigError(format_text("--explain {}: no such cell; there are: {}", cell,
                                  join({known.begin(), known.end()}, ", ")));
  }
  return text;
}

}  // namespace namm::experiments
