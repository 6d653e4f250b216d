#include "experiments/commands/command.h"

#include <CLI/CLI.hpp>

#include "core/log.h"

namespace namm::experiments {

void CommonOptions::apply() const {
  set_log_level(parse_log_level(log_level));
}

void add_common_options(CLI::App& command, CommonOptions& options) {
  command.add_option("--device", options.device, "Where the model runs: auto, cpu, cuda or cuda:INDEX")
      ->capture_default_str();
  command.add_option("--threads", options.threads, "Work items in flight; 0: one a core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command.add_option("--log-level", options.log_level, "trace, debug, info, warning, error or off")
      ->capture_default_str();
}

void add_json_option(CLI::App& command, bool& json) {
  command.add_flag("--json", json, "One JSON document on standard output");
}

}  // namespace namm::experiments
