#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "evolution/queue.h"
#include "evolution/queues/nats_address.h"
#include "evolution/run_announcement.h"

namespace namm::evolution {

/// The coordinator's side of a queue between machines: NATS JetStream (evolution 6). Leases, redelivery,
/// persistence and authentication are the server's; the coordinator's journal is the truth, so that what the
/// server loses is published again.
///
/// While the object lives it holds the run on the server: a second coordinator of the same run is refused,
/// on whatever machine. One thread.
class NatsQueue : public Queue {
 public:
  /// Announces the run. Throws InfrastructureError: no server, no JetStream; ConfigError: refused by the
  /// server, or the run has another coordinator; Interrupted when `stop_requested` while it waits for the
  /// lease of one that died.
  NatsQueue(const NatsAddress& address, RunAnnouncement announcement, std::function<bool()> stop_requested);
  /// Leaves the run announced as stopped, so that workers go to other runs and a resumed one finds its
  /// results; after `finish` nothing of it is left on the server. Waits seconds, not for ever, for a server
  /// that is away.
  ~NatsQueue() override;

  /// Puts candidates and shared bytes where workers find them, then the items. What an earlier coordinator
  /// of the run has published and nobody has answered is not published again. Throws ConfigError for a
  /// candidate or an item larger than the server's messages.
  void publish(std::vector<WorkItem> items) override;
  /// Throws InfrastructureError for an item whose deliveries are used up: every worker that took it died or
  /// hung. Such an item never becomes a fitness. One that a worker holds for more than twice the run's limit
  /// by the clock of this process is taken from it and answered as failed.
  std::vector<WorkResult> gather(std::chrono::milliseconds wait) override;
  /// All open items: results of those in hand stay on the server and are read when the run is resumed.
  std::vector<ItemId> withdraw() override;
  void forget(const std::vector<WorkItem>& items) override;
  void report(const std::string& row) override;

  /// The run is complete: removes everything of it from the server. What cannot be removed within half a
  /// minute is told only.
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace namm::evolution
