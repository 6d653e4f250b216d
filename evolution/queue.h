#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "evolution/work_item.h"

namespace namm::evolution {

/// Items one way, results the other. Coordinator's side: publish, gather, withdraw, close. Workers' side:
/// claim, renew, post. All calls are safe from any thread. A queue neither counts failures nor judges
/// results: the coordinator does.
class Queue {
 public:
  virtual ~Queue() = default;

  virtual void publish(std::vector<WorkItem> items) = 0;

  /// The next item, leased to the caller; waits up to `wait`. Nothing: none came in time, or the queue is
  /// closed.
  virtual std::optional<WorkItem> claim(std::chrono::milliseconds wait) = 0;

  /// Prolongs the lease of a claimed item. False: the lease was lost, the result may arrive twice (which is
  /// harmless).
  virtual bool renew(const WorkItem& item) = 0;

  /// How often a lease must be prolonged; zero: leases do not run out.
  virtual std::chrono::milliseconds renew_interval() const = 0;

  /// Hands in the result, or the failure record, of a claimed item.
  virtual void post(WorkResult result) = 0;

  /// Results posted since the last call; waits up to `wait` for the first.
  virtual std::vector<WorkResult> gather(std::chrono::milliseconds wait) = 0;

  /// Takes back every item that no worker has claimed and names them.
  virtual std::vector<ItemId> withdraw() = 0;

  /// No further claims: workers' loops end after the item in hand.
  virtual void close() = 0;
  virtual bool closed() const = 0;
};

}  // namespace namm::evolution
