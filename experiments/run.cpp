#include "experiments/run.h"

#include <algorithm>
#include <thread>

#include <nlohmann/json.hpp>

#include <ATen/Version.h>
#include <torch/version.h>

#include "core/build_info.h"
#include "core/errors.h"
#include "core/files.h"
#include "core/interrupt.h"
#include "core/log.h"
#include "core/run_directory.h"
#include "core/text.h"
#include "experiments/evaluate_stage.h"
#include "experiments/evolve_stage.h"
#include "experiments/memory_source.h"
#include "experiments/model_check.h"
#include "experiments/run_context.h"
#include "experiments/table.h"
#include "models/device.h"

namespace namm::experiments {

namespace {

/// Whether a stage evaluates namm before any stage has evolved one.
bool needs_given_memory(const ExperimentConfig& config) {
  for (const auto& stage : config.stages) {
    if (stage.evolve) return false;
    const auto& policies = stage.evaluate->policies;
    if (std::find(policies.begin(), policies.end(), "namm") != policies.end()) return true;
  }
  return false;
}

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

/// Everything that must be right before a run begins.
RunContext prepare(const ExperimentConfig& config, const RunOptions& options) {
  RunContext context;
  context.config = config;
  context.threads = options.threads > 0 ? options.threads : default_threads();
  const auto archive = load_model(config.model, options.device);
  context.evaluation = std::make_shared<Evaluation>(archive, config.model.chunk_tokens);
  if (needs_given_memory(config)) context.given_memory = find_memory(config.memory);
  const std::string memory_sha256 = context.given_memory ? context.given_memory->sha256() : "";
  context.identity = identity_of(config, archive->sha256(), memory_sha256);
  context.stage_tasks.resize(config.stages.size());
  for (size_t i = 0; i < config.stages.size(); ++i) {
    const StageConfig& stage = config.stages[i];
    const auto& names = stage.evolve ? stage.evolve->tasks : stage.evaluate->tasks;
    const auto task_config =
        stage.evolve
            ? config.task_config(stage.evolve->context_tokens, stage.evolve->questions_per_context)
            : config.task_config(stage.evaluate->context_tokens, stage.evaluate->questions_per_context);
    context.stage_tasks[i] = std::make_shared<StageTasks>(names, task_config, config.data);
    warn_beyond_positions(config.stage_name(i), names, task_config, archive->contract());
    if (stage.evolve) {
      check_evolve_stage(context, i);
    } else {
      check_evaluate_stage(context, i);
    }
  }
  return context;
}

nlohmann::json provenance(const RunContext& context, const RunOptions& options) {
  const auto& archive = context.evaluation->archive();
  return {{"libtorch", TORCH_VERSION},
          {"cpu_capability", at::get_cpu_capability()},
          {"device", options.device.str()},
          {"seed", context.config.seed},
          {"config_sha256", context.identity},
          {"model", {{"archive", archive.path().string()}, {"sha256", archive.sha256()}}},
          {"threads_per_item", context.config.threads_per_item}};
}

void run_stages(RunContext& context, RunDirectory& directory) {
  install_interrupt_handlers();
  for (size_t i = 0; i < context.config.stages.size(); ++i) {
    check_interrupt();
    if (context.config.stages[i].evolve) {
      run_evolve_stage(context, directory, i);
    } else {
      run_evaluate_stage(context, directory, i);
    }
  }
  std::error_code error;
  if (std::filesystem::exists(directory.results(), error)) {
    const Table table =
        make_table({{directory.path().filename().string(), read_results(directory.results())}});
    write_atomically(directory.table(), to_markdown(table));
  }
}

void refuse_existing(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::exists(path, error)) RunDirectory::create(path);  // throws with its advice
}

/// The directory appears with its configuration in it, so that a run can be resumed whenever the program is
/// killed.
RunDirectory make_directory(const std::filesystem::path& path, const RunContext& context,
                            const RunOptions& options) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path).lexically_normal();
  const auto unfinished = absolute.parent_path() / format_text(".{}.new", absolute.filename().string());
  std::filesystem::remove_all(unfinished, error);
  {
    const RunDirectory started = RunDirectory::create(unfinished);
    write_atomically(started.config(), to_yaml(context.config));
    started.write_provenance(build_info(), provenance(context, options), options.command_line);
  }
  std::filesystem::rename(unfinished, absolute, error);
  if (error) throw InfrastructureError(absolute.string() + ": cannot be made: " + error.message());
  sync_directory(absolute.parent_path());
  return RunDirectory::open(absolute);
}

}  // namespace

int default_threads() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::filesystem::path start_run(const ExperimentConfig& config, const RunOptions& options) {
  const auto out = options.out.empty() ? RunDirectory::next_free(std::filesystem::path("runs") / config.name)
                                       : options.out;
  refuse_existing(out);
  RunContext context = prepare(config, options);
  RunDirectory directory = make_directory(out, context, options);
  log_info("run directory " + out.string());
  run_stages(context, directory);
  return directory.path();
}

std::filesystem::path resume_run(const std::filesystem::path& path,
                                 const std::optional<ExperimentConfig>& expected, const RunOptions& options) {
  RunDirectory directory = RunDirectory::open(path);
  const auto config = read_config<ExperimentConfig>(ConfigDocument::load(directory.config()));
  if (expected && identity_of(*expected, "", "") != identity_of(config, "", "")) {
    throw ConfigError(format_text(
        "{} belongs to another configuration than the one given: leave the configuration out to go "
        "on with what the run began with, or start a new run with another --out",
        path.string()));
  }
  RunContext context = prepare(config, options);
  directory.write_provenance(build_info(), provenance(context, options), options.command_line);
  run_stages(context, directory);
  return directory.path();
}

}  // namespace namm::experiments
