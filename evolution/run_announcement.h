#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace namm::evolution {

/// What a run tells the workers of a queue between machines.
struct RunAnnouncement {
  std::string run;            ///< names the run on the queue: letters, digits, '-' and '_'
  std::string name;           ///< of the experiment, for people
  std::string state;          ///< "running", or why it is not
  std::string config;         ///< the resolved configuration, YAML
  std::string config_sha256;  ///< of everything that decides results; items and results carry it
  /// What a worker must have in common with the run, or its results would have other last bits: build,
  /// libraries, instruction set, kind of device, model file.
  std::map<std::string, std::string> requirements;
  double lease_seconds = 10;
  double item_limit_seconds = 0;  ///< a worker gives up the lease of an item that takes longer; 0: never
  int64_t max_deliveries = 20;

  std::chrono::milliseconds lease() const {
    return std::chrono::milliseconds(static_cast<int64_t>(lease_seconds * 1000));
  }
  bool running() const { return state == "running"; }
};

std::string to_json_text(const RunAnnouncement& announcement);
/// Throws DataError.
RunAnnouncement parse_announcement(std::string_view text);

/// Empty where `own` has every requirement of the run; else a sentence that names the first that differs.
std::string difference(const std::map<std::string, std::string>& required,
                       const std::map<std::string, std::string>& own);

/// Whether `run` can name a run on a queue.
bool is_run_id(std::string_view run);

}  // namespace namm::evolution
