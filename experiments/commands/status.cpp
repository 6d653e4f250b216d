#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/text.h"
#include "evolution/queue_status.h"
#include "experiments/commands/command.h"
#include "experiments/queue_status.h"
#include "experiments/run_status.h"

namespace namm::experiments {

namespace {

struct Options {
  CommonOptions common;
  QueueOptions queue;
  std::string target;
  bool json = false;
};

void status(const Options& options) {
  options.common.apply();
  if (options.target.find("://") != std::string::npos) {
    QueueOptions queue = options.queue;
    queue.address.url = options.target;
    const auto runs = evolution::queued_runs(*queue.checked());
    if (options.json) {
      std::cout << to_json(runs).dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    } else {
      std::cout << to_text(runs);
    }
    return;
  }
  const RunStatus read = read_run_status(options.target);
  if (options.json) {
    std::cout << to_json(read).dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else {
    std::cout << to_text(read);
  }
  if (!read.problems.empty()) {
    std::cout.flush();
    throw DataError(format_text("{} problem{} found, the first: {}", read.problems.size(),
                                read.problems.size() == 1 ? "" : "s", read.problems.front()));
  }
}

}  // namespace

void add_status(CLI::App& app, const std::vector<std::string>&, Action& action) {
  auto* command = app.add_subcommand("status", "Where a run stands: stage, generation, scores, time left");
  auto options = std::make_shared<Options>();
  command->add_option("target", options->target, "Run directory, or a queue: nats://TOKEN@host:port")
      ->required();
  add_queue_key_options(*command, options->queue);
  add_json_option(*command, options->json);
  add_common_options(*command, options->common);
  command->footer(
      "Only reads, also while the run goes on. Exit code 3 when something is damaged.\n"
      "Examples:\n"
      "  namm status runs/quickstart\n"
      "  watch -n 10 namm status runs/quickstart\n"
      "  namm status nats://TOKEN@127.0.0.1:4222                 every run on that queue, its workers, its "
      "items");
  command->callback([options, &action] { action = [options] { status(*options); }; });
}

}  // namespace namm::experiments
