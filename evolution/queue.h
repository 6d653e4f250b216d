#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "evolution/work_item.h"

namespace namm::evolution {

/// The coordinator's side: items out, results in. A queue neither counts failures nor judges results: the
/// coordinator does.
class Queue {
 public:
  virtual ~Queue() = default;

  /// Hands out items. After a crash items of the same batch may still be on their way: a queue that outlives
  /// the coordinator does not publish those again.
  virtual void publish(std::vector<WorkItem> items) = 0;

  /// Whether the workers are threads of this process: what an evaluator says of configuration or data then
  /// holds for the run, and not for one machine's files.
  virtual bool in_process() const { return false; }

  /// Results posted since the last call; waits up to `wait` for the first.
  virtual std::vector<WorkResult> gather(std::chrono::milliseconds wait) = 0;

  /// Takes back the items whose results need not be waited for and names them.
  virtual std::vector<ItemId> withdraw() = 0;

  /// The batch of these items is complete and stored: whatever the queue still keeps of it may go.
  virtual void forget(const std::vector<WorkItem>& /*items*/) {}

  /// What is known of a finished generation, a JSON object (at least its row of log.jsonl), for those who ask
  /// the queue how the run stands.
  virtual void report(const std::string& /*row*/) {}
};

/// After an item below this, a worker on a queue between machines holds the next one while it computes: an
/// item ahead is then no loss at the end of a generation.
inline constexpr std::chrono::milliseconds kShortItem{250};

/// The worker's side of a queue.
class ItemSource {
 public:
  virtual ~ItemSource() = default;

  /// The next item, leased to the caller; waits up to `wait`. Nothing: none came in time, or the queue is
  /// closed.
  virtual std::optional<WorkItem> claim(std::chrono::milliseconds wait) = 0;

  /// Prolongs the lease of a claimed item; called from another thread than the rest. Where the lease was lost
  /// the result may arrive twice, which is harmless.
  virtual void renew(const WorkItem& item) = 0;

  /// How often a lease must be prolonged; zero: leases do not run out.
  virtual std::chrono::milliseconds renew_interval() const = 0;

  /// Hands in the result, or the failure record, of a claimed item.
  virtual void post(WorkResult result) = 0;

  /// No further claims: the worker's loop ends.
  virtual bool closed() const = 0;
};

}  // namespace namm::evolution
