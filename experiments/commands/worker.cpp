#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "core/errors.h"
#include "core/host.h"
#include "core/interrupt.h"
#include "core/text.h"
#include "evolution/worker_service.h"
#include "experiments/commands/command.h"
#include "experiments/run.h"
#include "experiments/run_context.h"
#include "models/device.h"

namespace namm::experiments {

namespace {

struct Options {
  CommonOptions common;
  QueueOptions queue;
  std::vector<std::string> overrides;
  std::string run;
  double idle_seconds = 0;
  bool json = false;
};

std::string worker_name() {
  return format_text("{}:{}", host_name(), ::getpid());
}

evolution::EvaluatorFactory open(const evolution::RunAnnouncement& announcement, c10::Device device,
                                 const std::vector<std::string>& overrides) {
  const auto config = read_config<ExperimentConfig>(
      ConfigDocument::from_text(announcement.config, "config of run " + announcement.run, overrides));
  const RunContext context = open_run(config, device);
  const std::string reason =
      evolution::difference(announcement.requirements, run_requirements(context, device));
  if (!reason.empty()) throw ConfigError(reason);
  return make_run_evaluator(context.config, context.evaluation, context.stage_tasks);
}

void serve(const Options& options) {
  options.common.apply();
  const auto address = options.queue.checked();
  if (!address) throw ConfigError("worker: name the queue, --queue nats://TOKEN@host:port");
  if (!options.run.empty() && !evolution::is_run_id(options.run))
    throw ConfigError("--run " + options.run + ": no name that a run may have");
  const c10::Device device = models::parse_device(options.common.device);
  install_interrupt_handlers();
  evolution::WorkerServiceOptions service;
  service.address = *address;
  service.run = options.run;
  service.name = worker_name();
  service.items_at_once = options.common.threads > 0 ? options.common.threads
                          : device.is_cpu()          ? default_threads()
                                                     : 1;
  if (options.idle_seconds > 0) service.idle_limit_seconds = options.idle_seconds;
  service.stop_requested = interrupt_requested;
  const int64_t items = evolution::serve_runs(service, [&](const evolution::RunAnnouncement& announcement) {
    return open(announcement, device, options.overrides);
  });
  if (options.json) {
    std::cout << nlohmann::json({{"items", items}}).dump() << "\n";
  } else {
    std::cout << items << " items evaluated\n";
  }
}

}  // namespace

void add_worker(CLI::App& app, const std::vector<std::string>&, Action& action) {
  auto* command =
      app.add_subcommand("worker", "Evaluate the work items of runs on a queue until told to stop");
  auto options = std::make_shared<Options>();
  command->add_option(
      "overrides", options->overrides,
      "key.path=value: where this machine has the run's files, e.g. model.archive=/data/llama.pt");
  add_queue_options(*command, options->queue);
  command->add_option("--run", options->run, "Serve this run only [any that is announced]");
  command->add_option("--idle-limit-seconds", options->idle_seconds,
                      "End after so long without a run to serve; 0: never");
  add_json_option(*command, options->json);
  add_common_options(*command, options->common);
  command->footer(
      "A worker may start before the server and the run, and may end at any time: its items go to others.\n"
      "It takes configuration, memory and samples from the queue, opens the model and data files by the "
      "names\n"
      "in it, and refuses a run whose program, model, data or processor differ from its own.\n"
      "--threads: items at once; 0: one a core, on a GPU one. The first Ctrl-C lets the items in hand end.\n"
      "  nats-server -js -a 127.0.0.1 --auth TOKEN -sd DIR                       the server, on loopback\n"
      "  nats-server -js -c server.conf                                          with TLS: "
      "experiments/cluster/\n"
      "  namm run CONFIG --queue nats://TOKEN@127.0.0.1:4222                     the run\n"
      "  namm worker --queue nats://TOKEN@127.0.0.1:4222                         a worker");
  command->callback([options, &action] { action = [options] { serve(*options); }; });
}

}  // namespace namm::experiments
