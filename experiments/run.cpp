#include "experiments/run.h"

#include <algorithm>
#include <thread>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <torch/version.h>

#include "core/build_info.h"
#include "core/errors.h"
#include "core/files.h"
#include "core/interrupt.h"
#include "core/log.h"
#include "core/run_directory.h"
#include "core/text.h"
#include "evolution/checkpoint.h"
#include "evolution/queues/threads.h"
#include "experiments/evaluate_stage.h"
#include "experiments/evolve_stage.h"
#include "experiments/memory_source.h"
#include "experiments/model_check.h"
#include "experiments/places.h"
#include "experiments/run_context.h"
#include "experiments/stage_evaluator.h"
#include "experiments/table.h"
#include "memory/backend.h"
#include "models/device.h"

namespace namm::experiments {

namespace {

/// Whether a stage evaluates namm before any stage has evolved one.
bool needs_given_memory(const ExperimentConfig& config) {
  for (const auto& stage : config.stages) {
    if (stage.evolve) return false;
    const auto& policies = stage.evaluate->policies;
    if (std::any_of(policies.begin(), policies.end(), memory::needs_memory)) return true;
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

/// Positions of the model that a chat wrapper leaves; 0 where the model names no limit.
int64_t positions_for_prompts(const models::Archive& archive) {
  const int64_t positions = archive.contract().max_positions;
  if (positions == 0 || !archive.contract().has_chat()) return positions;
  return std::max<int64_t>(1, positions - std::ssize(archive.encode_prompt("", true)));
}

/// Everything that must be right before a run begins or, with `resumed`, goes on.
RunContext prepare(const ExperimentConfig& config, const RunOptions& options,
                   const RunDirectory* resumed = nullptr) {
  RunContext context;
  context.config = config;
  if (const auto newest = resumed != nullptr ? resumed->newest_checkpoint() : std::nullopt) {
    const evolution::Checkpoint checkpoint = evolution::read_checkpoint(newest->path);
    context.saved_stage = checkpoint.stage;
    context.saved_first_generation = checkpoint.first_generation;
  }
  context.threads = options.threads > 0 ? options.threads : default_threads();
  const auto archive = load_model(config.model, options.device);
  context.evaluation = std::make_shared<Evaluation>(
      archive, EvaluationOptions{.chunk_tokens = config.model.chunk_tokens,
                                 .positions = memory::position_mode(config.memory.positions),
                                 .backend = memory::backend(config.memory.backend),
                                 .protect = config.memory.protect});
  if (needs_given_memory(config)) context.given_memory = find_memory(config.memory);
  config.memory.require_transformer(archive->contract().shape, "memory.transformer");
  const std::string memory_sha256 = context.given_memory ? context.given_memory->sha256() : "";
  context.identity = identity_of(config, archive->sha256(), memory_sha256);
  context.stage_tasks.resize(config.stages.size());
  tasks::DataConfig data = config.data;
  if (data.dictionaries.empty()) data.dictionaries.value = dictionaries_folder();
  for (size_t i = 0; i < config.stages.size(); ++i) {
    const StageConfig& stage = config.stages[i];
    const auto& names = stage.evolve ? stage.evolve->tasks : stage.evaluate->tasks;
    const auto task_config =
        stage.evolve
            ? config.task_config(stage.evolve->context_tokens, stage.evolve->questions_per_context)
            : config.task_config(stage.evaluate->context_tokens, stage.evaluate->questions_per_context);
    context.stage_tasks[i] =
        std::make_shared<StageTasks>(names, task_config, data, positions_for_prompts(*archive));
    warn_beyond_positions(config.stage_name(i), names, task_config, archive->contract());
    if (stage.evolve) {
      check_evolve_stage(context, i);
    } else {
      check_evaluate_stage(context, i);
    }
  }
  return context;
}

/// What decides the last bits of results beside the configuration.
nlohmann::json machine(const RunOptions& options) {
  return {{"libtorch", TORCH_VERSION},
          {"cpu_capability", memory::cpu_capability()},
          {"device", options.device.str()}};
}

nlohmann::json provenance(const RunContext& context, const RunOptions& options) {
  const auto& archive = context.evaluation->archive();
  nlohmann::json facts = machine(options);
  facts.update({{"seed", context.config.seed},
                {"config_sha256", context.identity},
                {"model", {{"archive", archive.path().string()}, {"sha256", archive.sha256()}}},
                {"threads_per_item", context.config.threads_per_item}});
  return facts;
}

void run_stages(RunContext& context, RunDirectory& directory) {
  install_interrupt_handlers();
  evolution::ThreadQueue queue;
  const evolution::WorkerThreads workers(
      queue, make_run_evaluator(context.config, context.evaluation, context.stage_tasks), context.threads);
  context.queue = &queue;
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
    const Table table = make_table({{directory.name(), read_results(directory.results())}});
    write_atomically(directory.table(), to_markdown(table));
  }
}

void refuse_existing(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::exists(path, error)) RunDirectory::create(path);  // throws with its advice
}

std::filesystem::path free_path(const ExperimentConfig& config) {
  return plain_path(RunDirectory::next_free(std::filesystem::path("runs") / config.name));
}

/// The directory appears with its configuration in it, so that a run can be resumed whenever the program is
/// killed. Of runs that start at the same time each gets a directory of its own.
RunDirectory make_directory(std::filesystem::path path, const RunContext& context,
                            const RunOptions& options) {
  std::error_code error;
  const auto unfinished =
      path.parent_path() / format_text(".{}.{}.new", path.filename().string(), ::getpid());
  std::filesystem::remove_all(unfinished, error);
  try {
    const RunDirectory started = RunDirectory::create(unfinished);
    write_atomically(started.config(), to_yaml(context.config));
    started.write_provenance(build_info(), provenance(context, options), options.command_line);
    for (;;) {
      std::filesystem::rename(unfinished, path, error);
      const bool taken = error == std::errc::file_exists || error == std::errc::directory_not_empty;
      if (!taken) break;
      if (options.out.empty()) {
        path = free_path(context.config);
      } else {
        refuse_existing(path);
      }
    }
    if (error) throw InfrastructureError(path.string() + ": cannot be made: " + error.message());
  } catch (...) {
    std::filesystem::remove_all(unfinished, error);
    throw;
  }
  sync_directory(path.parent_path());
  return RunDirectory::open(path);
}

/// Another processor, device or library gives other last bits, and with them another run.
void check_same_machine(const RunDirectory& directory, const nlohmann::json& now) {
  const nlohmann::json begun = directory.read_provenance();
  if (begun.is_null()) return;
  const auto text_of = [](const nlohmann::json& entry, const char* key) {
    return entry.contains(key) && entry[key].is_string() ? entry[key].get<std::string>() : std::string();
  };
  const std::pair<const char*, const char*> facts[] = {
      {"device", "go on with --device as it began"},
      {"cpu_capability", "go on on such a processor"},
      {"libtorch", "go on with a program built with that version"}};
  for (const auto& [key, advice] : facts) {
    const std::string then = text_of(begun, key);
    if (then.empty() || then == text_of(now, key)) continue;
    throw ConfigError(format_text(
        "{}: the run began with {} {}, this is {}: its results would be of both; {}, or start anew "
        "with another --out",
        directory.path().string(), key, then, text_of(now, key), advice));
  }
  const std::string revision = text_of(begun, "git_revision");
  if (!revision.empty() && revision != build_info().git_revision) {
    log_warning(format_text("{}: the run began with revision {} of the program, this is {}",
                            directory.path().string(), revision, build_info().git_revision));
  }
}

}  // namespace

int default_threads() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::filesystem::path start_run(const ExperimentConfig& config, const RunOptions& options) {
  const auto out = options.out.empty() ? free_path(config) : plain_path(options.out);
  refuse_existing(out);
  RunContext context = prepare(config, options);
  RunDirectory directory = make_directory(out, context, options);
  log_info("run directory " + directory.path().string());
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
  check_same_machine(directory, machine(options));
  RunContext context = prepare(config, options, &directory);
  directory.write_provenance(build_info(), provenance(context, options), options.command_line);
  run_stages(context, directory);
  return directory.path();
}

}  // namespace namm::experiments
