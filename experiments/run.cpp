#include "experiments/run.h"

#include <algorithm>
#include <random>
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
#include "core/sha256.h"
#include "core/text.h"
#include "evolution/checkpoint.h"
#include "evolution/queues/nats_queue.h"
#include "evolution/queues/threads.h"
#include "experiments/evaluate_stage.h"
#include "experiments/evolve_stage.h"
#include "experiments/memory_source.h"
#include "experiments/model_check.h"
#include "experiments/places.h"
#include "experiments/run_context.h"
#include "experiments/stage_evaluator.h"
#include "experiments/table.h"
#include "experiments/table_formats.h"
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

/// Everything that must be right before a run begins or, with `resumed`, goes on.
RunContext prepare(const ExperimentConfig& config, const RunOptions& options,
                   const RunDirectory* resumed = nullptr) {
  // With workers elsewhere the model is needed here for its tokenizer and its identity only.
  RunContext context = open_run(config, options.queue ? c10::Device(c10::kCPU) : options.device);
  if (const auto newest = resumed != nullptr ? resumed->newest_checkpoint() : std::nullopt) {
    const evolution::Checkpoint checkpoint = evolution::read_checkpoint(newest->path);
    context.saved_stage = checkpoint.stage;
    context.saved_first_generation = checkpoint.first_generation;
  }
  context.threads = options.threads > 0 ? options.threads : default_threads();
  context.json_progress = options.json_progress;
  if (needs_given_memory(config)) context.given_memory = find_memory(config.memory);
  const std::string memory_sha256 = context.given_memory ? context.given_memory->sha256() : "";
  context.identity = identity_of(config, context.evaluation->archive().sha256(), memory_sha256);
  for (size_t i = 0; i < config.stages.size(); ++i) {
    if (config.stages[i].evolve) {
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

/// The run's own name and letters that no other run has: what it is called on a queue.
std::string new_run_id(const std::string& name) {
  std::string id;
  for (const char c : name) id += evolution::is_run_id(std::string(1, c)) ? c : '-';
  constexpr size_t kLongest = 64;
  std::random_device device;
  return format_text("{}-{}", id.substr(0, kLongest), sha256_hex(std::to_string(device())).substr(0, 8));
}

nlohmann::json provenance(const RunContext& context, const RunOptions& options) {
  const auto& archive = context.evaluation->archive();
  nlohmann::json facts = machine(options);
  facts.update({{"run_id", new_run_id(context.config.name)},
                {"seed", context.config.seed},
                {"config_sha256", context.identity},
                {"model", {{"archive", archive.path().string()}, {"sha256", archive.sha256()}}},
                {"threads_per_item", context.config.threads_per_item}});
  return facts;
}

/// Command lines are kept, tokens in them are not.
std::vector<std::string> shown(std::vector<std::string> command_line) {
  for (auto& word : command_line) word = evolution::without_secrets(word);
  return command_line;
}

std::string text_of(const nlohmann::json& entry, const char* key) {
  return entry.contains(key) && entry[key].is_string() ? entry[key].get<std::string>() : std::string();
}

evolution::RunAnnouncement announcement_of(const RunContext& context, const RunDirectory& directory,
                                           const RunOptions& options) {
  const nlohmann::json begun = directory.read_provenance();
  evolution::RunAnnouncement announcement;
  announcement.run = text_of(begun, "run_id");
  if (!evolution::is_run_id(announcement.run)) {
    throw DataError(format_text(
        "{}: holds no run_id, by which workers know the run; go on without --queue, or start anew with "
        "another --out",
        directory.provenance().string()));
  }
  announcement.name = directory.name();
  announcement.config = to_yaml(context.config);
  announcement.config_sha256 = context.identity;
  announcement.requirements = run_requirements(context, options.device);
  // Those of the processor that the run began on, wherever it is coordinated from now.
  if (const std::string capability = text_of(begun, "cpu_capability");
      !capability.empty() && announcement.requirements.contains("cpu capability")) {
    announcement.requirements["cpu capability"] = capability;
  }
  const QueueConfig& queue = context.config.queue;
  announcement.lease_seconds = queue.lease_seconds;
  announcement.item_limit_seconds = queue.item_limit_seconds;
  announcement.max_deliveries = queue.max_deliveries;
  return announcement;
}

void write_table(const RunDirectory& directory) {
  std::error_code error;
  if (!std::filesystem::exists(directory.results(), error)) return;
  const Table table = make_table({{directory.name(), read_results(directory.results())}});
  write_atomically(directory.table(), to_markdown(table));
}

void run_stages_on(evolution::Queue& queue, RunContext& context, const RunDirectory& directory) {
  context.queue = &queue;
  for (size_t i = 0; i < context.config.stages.size(); ++i) {
    check_interrupt();
    if (context.config.stages[i].evolve) {
      run_evolve_stage(context, directory, i);
    } else {
      run_evaluate_stage(context, directory, i);
    }
  }
  write_table(directory);
}

void run_stages(RunContext& context, const RunDirectory& directory, const RunOptions& options) {
  install_interrupt_handlers();
  if (options.queue) {
    const auto announcement = announcement_of(context, directory, options);
    evolution::NatsQueue queue(*options.queue, announcement, interrupt_requested);
    log_info(format_text("run {} on {}: its workers are started with `namm worker --queue {}`",
                         announcement.run, options.queue->shown(), options.queue->shown()));
    run_stages_on(queue, context, directory);
    queue.finish();
  } else {
    evolution::ThreadQueue queue;
    const evolution::WorkerThreads workers(
        queue, make_run_evaluator(context.config, context.evaluation, context.stage_tasks), context.threads);
    run_stages_on(queue, context, directory);
  }
}

void refuse_existing(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::exists(path, error)) RunDirectory::create(path);  // throws with its advice
}

std::filesystem::path free_path(const ExperimentConfig& config) {
  return plain_path(RunDirectory::next_free(runs_folder() / config.name));
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
    started.write_provenance(build_info(), provenance(context, options), shown(options.command_line));
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
void check_same_machine(const RunDirectory& directory, const RunOptions& options) {
  const nlohmann::json begun = directory.read_provenance();
  if (begun.is_null()) return;
  nlohmann::json now = machine(options);
  // On a queue it is the workers' processors that count, and they are told what the run began with.
  if (options.queue) now["cpu_capability"] = text_of(begun, "cpu_capability");
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

std::filesystem::path runs_folder() {
  return "runs";
}

int default_threads() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::filesystem::path start_run(const ExperimentConfig& config, const RunOptions& options) {
  const auto out = options.out.empty() ? free_path(config) : plain_path(options.out);
  refuse_existing(out);
  RunContext context = prepare(config, options);
  RunDirectory directory = make_directory(out, context, options);
  log_info("run directory " + directory.path().string());
  run_stages(context, directory, options);
  return directory.path();
}

std::filesystem::path resume_run(const std::filesystem::path& path,
                                 const std::optional<ExperimentConfig>& expected, const RunOptions& options) {
  RunDirectory directory = RunDirectory::open(path);
  auto config = read_config<ExperimentConfig>(ConfigDocument::load(directory.config()));
  if (expected && identity_of(*expected, "", "") != identity_of(config, "", "")) {
    throw ConfigError(format_text(
        "{} belongs to another configuration than the one given: leave the configuration out to go "
        "on with what the run began with, or start a new run with another --out",
        path.string()));
  }
  // Leases and limits belong to the machines, not to the run.
  if (expected) config.queue = expected->queue;
  check_same_machine(directory, options);
  RunContext context = prepare(config, options, &directory);
  directory.write_provenance(build_info(), provenance(context, options), shown(options.command_line));
  run_stages(context, directory, options);
  return directory.path();
}

}  // namespace namm::experiments
