#pragma once

#include <cstdint>
#include <deque>
#include <queue>
#include <span>
#include <utility>
#include <vector>

#include "core/random.h"

namespace namm::evolution {

/// A work item as the simulation sees it.
struct SimulatedItem {
  double seconds = 0;            ///< that a worker computes on it
  int32_t candidates = -1;       ///< which block of members it needs; -1: none
  int64_t candidates_bytes = 0;  ///< that a worker fetches for that block, once a batch
};

struct SimulatedQueueConfig {
  int64_t workers = 1;
  int64_t prefetch = 1;         ///< items that a worker holds ahead after one shorter than kShortItem
  double lease_seconds = 10;    ///< after this long the items of a lost worker come back
  double failure_seconds = 0;   ///< mean time between two failures of one worker, exponential; 0: none fails
  double restart_seconds = 60;  ///< from a worker's failure until it claims again
  double result_seconds = 0;    ///< the coordinator's time for a result, one after another
  uint64_t seed = 1;
};

/// Sums since the beginning.
struct SimulatedTotals {
  double seconds = 0;         ///< wall time
  double useful_seconds = 0;  ///< workers' time in items whose result came in
  double lost_seconds = 0;    ///< workers' time in items that they were lost with
  int64_t items = 0;          ///< items whose result came in, each once
  int64_t lost_items = 0;     ///< items, computed or prefetched, that came back after a lease ran out
  int64_t failures = 0;       ///< of workers
  int64_t fetched_bytes = 0;  ///< candidates
};

/// Work queue (reference/evolution.md 6) as a discrete-event simulation: one coordinator, which publishes a
/// batch and waits until every item has its result, and workers, which claim items in the order of their
/// requests, at most one request of a worker open at a time. A worker that fails takes its items with it;
/// they come back in front of the queue when their lease, counted from the failure, has run out. The same
/// configuration and items give the same run; an item takes the same time wherever and however often it is
/// computed, and worker w fails at the same moments however many others there are.
class QueueSimulation {
 public:
  /// Throws std::invalid_argument for fewer than one worker or a negative time.
  explicit QueueSimulation(const SimulatedQueueConfig& config);

  /// Publishes `items` now; the clock then stands where the last result has been taken. Throws
  /// std::invalid_argument on a negative time, InfrastructureError when an item has been lost so often
  /// (kMostLosses) that workers fail faster than they can compute it.
  void run_batch(std::span<const SimulatedItem> items);

  /// The coordinator works alone for so long.
  void wait(double seconds);

  const SimulatedTotals& totals() const { return totals_; }

  /// Times that one item may be lost.
  static constexpr int kMostLosses = 1000;

 private:
  struct Worker {
    RandomStream failures;
    int64_t incarnation = 0;  ///< failures so far: older events and requests of the worker are void
    bool up = true;
    bool requesting = false;        ///< has a request in the list
    bool holds_ahead = false;       ///< its last item was a short one
    int64_t item = -1;              ///< being computed
    double began = 0;               ///< when that began
    std::deque<int64_t> held = {};  ///< prefetched
  };
  enum class Kind : uint8_t { failed, restarted, returned, finished };
  struct Event {
    double time = 0;
    uint64_t order = 0;  ///< of two at one time the one that was foreseen first
    Kind kind = Kind::finished;
    int64_t subject = 0;  ///< the worker; `returned`: the item
    int64_t incarnation = 0;
    bool operator>(const Event& other) const {
      return std::pair(time, order) > std::pair(other.time, other.order);
    }
  };

  void expect(double time, Kind kind, int64_t subject, int64_t incarnation);
  void expect_failure(int64_t worker, double now);
  void handle(const Event& event);
  void fail(int64_t worker, double now);
  void lose(int64_t item, double now);
  void finish(int64_t worker, double now);
  void begin(int64_t worker, int64_t item, double now);
  void request(int64_t worker);
  void serve(double now);

  SimulatedQueueConfig config_;
  SimulatedTotals totals_;
  std::vector<Worker> workers_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  uint64_t order_ = 0;
  std::deque<std::pair<int64_t, int64_t>> requests_;  ///< worker, incarnation

  // Of the running batch.
  std::span<const SimulatedItem> items_;
  std::deque<int64_t> open_;
  std::vector<int> losses_;
  int64_t missing_ = 0;
  double taken_ = 0;                           ///< when the coordinator has taken the results so far
  std::vector<std::vector<int32_t>> fetched_;  ///< by worker: blocks of candidates it has
};

}  // namespace namm::evolution
