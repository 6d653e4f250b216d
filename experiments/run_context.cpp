#include "experiments/run_context.h"

#include <algorithm>

#include <torch/version.h>

#include "core/build_info.h"
#include "core/log.h"
#include "core/sha256.h"
#include "core/text.h"
#include "experiments/model_check.h"
#include "memory/backend.h"

namespace namm::experiments {

namespace {

/// Running past the positions of a model is a fair experiment, but nobody should do it unaware.
void warn_beyond_positions(const std::string& stage, const std::vector<std::string>& names,
                           const tasks::TaskConfig& task, const models::Contract& contract) {
  int64_t longest = 0;
  for (const auto& name : names) {
    longest = std::max(longest, name.starts_with("needle/") ? task.context_tokens : task.max_prompt_tokens);
  }
  if (contract.max_positions == 0 || longest <= contract.max_positions) return;
  log_warning(
      format_text("{}: contexts of up to {} tokens are more than the {} positions that the model claims to "
                  "support",
                  stage, longest, contract.max_positions));
}

/// Positions of the model that a chat wrapper leaves; 0 where the model names no limit.
int64_t positions_for_prompts(const models::Archive& archive) {
  const int64_t positions = archive.contract().max_positions;
  if (positions == 0 || !archive.contract().has_chat()) return positions;
  return std::max<int64_t>(1, positions - std::ssize(archive.encode_prompt("", true)));
}

/// Two modified trees are hardly the same.
std::string modification(const BuildInfo& build) {
  if (!build.git_dirty && build.git_revision != "unknown") return "";
  constexpr size_t kShown = 16;
  return " (modified, program " + sha256_file("/proc/self/exe").substr(0, kShown) + ")";
}

}  // namespace

std::shared_ptr<const StageTasks> open_stage_tasks(const ExperimentConfig& config, size_t index,
                                                   const models::Archive& archive) {
  const StageConfig& stage = config.stages[index];
  const auto task_config = config.task_config(stage);
  auto tasks = std::make_shared<const StageTasks>(stage.tasks(), task_config, config.data_with_dictionaries(),
                                                  positions_for_prompts(archive));
  warn_beyond_positions(config.stage_name(index), stage.tasks(), task_config, archive.contract());
  return tasks;
}

RunContext open_run(const ExperimentConfig& config, c10::Device device) {
  RunContext context;
  context.config = config;
  const auto archive = load_model(config.model, device);
  context.evaluation = std::make_shared<Evaluation>(
      archive, EvaluationOptions{.chunk_tokens = config.model.chunk_tokens,
                                 .positions = memory::position_mode(config.memory.positions),
                                 .backend = memory::backend(config.memory.backend),
                                 .protect = config.memory.protect});
  config.memory.require_transformer(archive->contract().shape, "memory.transformer");
  for (size_t i = 0; i < config.stages.size(); ++i) {
    context.stage_tasks.push_back(open_stage_tasks(config, i, *archive));
  }
  return context;
}

std::map<std::string, std::string> run_requirements(const RunContext& context, c10::Device device) {
  const BuildInfo& build = build_info();
  const std::string& model = context.evaluation->archive().sha256();
  std::map<std::string, std::string> facts = {
      {"build", format_text("{}{}, {}, {}", build.git_revision, modification(build), build.build_type,
                            build.compiler)},
      {"libtorch", TORCH_VERSION},
      {"device", c10::DeviceTypeName(device.type(), true)},
      {"model", model},
      {"settings and data", identity_of(context.config, model, "")}};
  if (device.is_cpu()) facts["cpu capability"] = memory::cpu_capability();
  return facts;
}

}  // namespace namm::experiments
