#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "evolution/queues/nats_client.h"
#include "evolution/run_announcement.h"

namespace namm::evolution::nats {

/// Holds a run on the server: an entry of its bucket that only its holder can prolong.
class CoordinatorEntry {
 public:
  /// Waits for the lease of a holder that may have died. Throws ConfigError: it is alive, or another came
  /// first; Interrupted.
  CoordinatorEntry(NatsClient& client, const RunAnnouncement& announcement,
                   const std::function<bool()>& stop_requested);
  ~CoordinatorEntry();
  CoordinatorEntry(const CoordinatorEntry&) = delete;
  CoordinatorEntry& operator=(const CoordinatorEntry&) = delete;

  /// Somebody else holds the run now.
  bool lost() const { return lost_; }

 private:
  std::string value();
  [[noreturn]] void refuse(const std::string& holder) const;
  void prolong(std::chrono::milliseconds interval);
  std::optional<uint64_t> take_back();

  NatsClient& client_;
  std::string bucket_;
  std::string run_;
  std::string name_ = random_name();
  int64_t beat_ = 0;
  uint64_t revision_ = 0;
  std::atomic<bool> lost_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace namm::evolution::nats
