#include "experiments/run.h"

#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/files.h"
#include "core/json_lines.h"
#include "core/run_directory.h"
#include "experiments/commands/command.h"
#include "experiments/table.h"
#include "experiments/table_formats.h"
#include "models/device.h"

namespace namm::experiments {

namespace {

struct Options {
  CommonOptions common;
  std::string config;
  std::vector<std::string> overrides;
  std::string out;
  std::string resume;
  QueueOptions queue;
  bool json = false;
};

void run(const Options& options, const std::vector<std::string>& command_line) {
  options.common.apply();
  RunOptions run_options;
  run_options.out = options.out;
  run_options.threads = options.common.threads;
  run_options.queue = options.queue.checked();
  // On a queue it names the workers' device, which this machine need not have.
  run_options.device = run_options.queue && options.common.device == "cuda"
                           ? c10::Device(c10::kCUDA)
                           : models::parse_device(options.common.device);
  run_options.json_progress = options.json;
  run_options.command_line = command_line;
  std::filesystem::path directory;
  if (!options.resume.empty()) {
    if (!options.out.empty())
      throw ConfigError("--out and --resume exclude each other: a run resumes in its own directory");
    std::optional<ExperimentConfig> expected;
    if (!options.config.empty()) {
      expected = read_config<ExperimentConfig>(ConfigDocument::load(options.config, options.overrides));
    }
    directory = resume_run(options.resume, expected, run_options);
  } else {
    if (options.config.empty()) throw ConfigError("run: name a configuration, or --resume DIR");
    const auto config =
        read_config<ExperimentConfig>(ConfigDocument::load(options.config, options.overrides));
    directory = start_run(config, run_options);
  }
  const RunDirectory run_directory = RunDirectory::open_to_read(directory);
  std::error_code error;
  const bool has_table = std::filesystem::exists(run_directory.table(), error);
  if (options.json) {
    nlohmann::ordered_json document;
    if (has_table) {
      document = to_json(make_table({{run_directory.name(), read_results(run_directory.results())}}));
    } else {
      document = {{"columns", nlohmann::json::array()}, {"rows", nlohmann::json::array()}};
    }
    document["run"] = directory.string();
    std::cout << document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    return;
  }
  if (has_table) std::cout << read_file(run_directory.table());
}

}  // namespace

void add_run(CLI::App& app, const std::vector<std::string>& command_line, Action& action) {
  auto* command =
      app.add_subcommand("run", "Run the stages of an experiment (evolve, evaluate) and print its table");
  auto options = std::make_shared<Options>();
  command->add_option("config", options->config, "Experiment (YAML)");
  command->add_option("overrides", options->overrides, "key.path=value, e.g. stages.0.evolve.generations=6");
  command->add_option("--out", options->out,
                      "Run directory [runs/<name>, or the first free of <name>-2, ...]");
  command->add_option("--resume", options->resume, "Go on with the run in this directory");
  command->add_flag_callback(
      "--skip-bad-records", [options] { options->overrides.emplace_back("task.skip_bad_records=true"); },
      "Leave malformed benchmark records out and count them in the table: task.skip_bad_records=true");
  add_queue_options(*command, options->queue);
  command->footer(
      "With --json the line of a generation on standard error is its row of log.jsonl, with pace and time "
      "left.\n"
      "With --queue the items are evaluated by workers on any machines, which come and go as they like:\n"
      "  nats-server -js -a 127.0.0.1 --auth TOKEN -sd DIR          the server, on loopback\n"
      "  namm run CONFIG --queue nats://TOKEN@127.0.0.1:4222\n"
      "  namm worker --queue nats://TOKEN@127.0.0.1:4222            as many as there are devices\n"
      "--device then names the workers' device. experiments/cluster/README.md tells of TLS and clusters.");
  add_json_option(*command, options->json);
  add_common_options(*command, options->common);
  command->callback([options, &command_line, &action] {
    action = [options, &command_line] { run(*options, command_line); };
  });
}

}  // namespace namm::experiments
