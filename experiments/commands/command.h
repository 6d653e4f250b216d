#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "evolution/queues/nats_address.h"

namespace CLI {
class App;
}

namespace namm::experiments {

/// What the chosen sub-command does; set by its parser.
using Action = std::function<void()>;

/// Options that every sub-command has.
struct CommonOptions {
  std::string device = "auto";
  int threads = 0;
  std::string log_level = "info";

  /// Sets the log level; throws ConfigError.
  void apply() const;
};
void add_common_options(CLI::App& command, CommonOptions& options);
/// `--json`.
void add_json_option(CLI::App& command, bool& json);

/// `--queue` and what belongs to it.
struct QueueOptions {
  evolution::NatsAddress address;

  /// Nothing without --queue. Throws ConfigError.
  std::optional<evolution::NatsAddress> checked() const;
};
void add_queue_options(CLI::App& command, QueueOptions& options);
/// Without --queue itself.
void add_queue_key_options(CLI::App& command, QueueOptions& options);

/// Each adds its sub-command to `app`; `command_line` is what the program was started with.
void add_run(CLI::App& app, const std::vector<std::string>& command_line, Action& action);
void add_warm_start(CLI::App& app, const std::vector<std::string>& command_line, Action& action);
void add_generate(CLI::App& app, const std::vector<std::string>& command_line, Action& action);
void add_score(CLI::App& app, const std::vector<std::string>& command_line, Action& action);
void add_table(CLI::App& app, const std::vector<std::string>& command_line, Action& action);
void add_export(CLI::App& app, const std::vector<std::string>& command_line, Action& action);
void add_bench(CLI::App& app, const std::vector<std::string>& command_line, Action& action);
void add_data(CLI::App& app, const std::vector<std::string>& command_line, Action& action);
void add_describe(CLI::App& app, const std::vector<std::string>& command_line, Action& action);
void add_worker(CLI::App& app, const std::vector<std::string>& command_line, Action& action);
void add_plan(CLI::App& app, const std::vector<std::string>& command_line, Action& action);
void add_status(CLI::App& app, const std::vector<std::string>& command_line, Action& action);
void add_doctor(CLI::App& app, const std::vector<std::string>& command_line, Action& action);

}  // namespace namm::experiments
