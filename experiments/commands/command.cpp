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

std::optional<evolution::NatsAddress> QueueOptions::checked() const {
  if (address.url.empty()) return std::nullopt;
  address.check();
  return address;
}

void add_queue_options(CLI::App& command, QueueOptions& options) {
  command.add_option(
      "--queue", options.address.url,
      "NATS server: nats://TOKEN@host:port, or tls://...; the token may stand in NAMM_QUEUE_TOKEN");
  add_queue_key_options(command, options);
}

void add_queue_key_options(CLI::App& command, QueueOptions& options) {
  command.add_option("--queue-ca", options.address.ca,
                     "TLS: certificates that the server's must come from (PEM)");
  command.add_option("--queue-cert", options.address.certificate, "TLS: certificate of this client (PEM)");
  command.add_option("--queue-key", options.address.key, "TLS: its key (PEM)");
  command.add_option("--queue-nkey", options.address.nkey,
                     "Seed and public key of an nkey user, two lines as `nk -gen user -pubout` prints them");
}

}  // namespace namm::experiments
