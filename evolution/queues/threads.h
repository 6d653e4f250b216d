#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "evolution/worker.h"

namespace namm::evolution {

/// Both sides of the queue inside one process; all calls are safe from any thread. A claimed item cannot get
/// lost (its thread ends with the process), so leases do not expire.
class ThreadQueue : public Queue, public ItemSource {
 public:
  void publish(std::vector<WorkItem> items) override;
  bool in_process() const override { return true; }
  std::optional<WorkItem> claim(std::chrono::milliseconds wait) override;
  void renew(const WorkItem&) override {}
  std::chrono::milliseconds renew_interval() const override { return std::chrono::milliseconds(0); }
  void post(WorkResult result) override;
  std::vector<WorkResult> gather(std::chrono::milliseconds wait) override;
  std::vector<ItemId> withdraw() override;
  bool closed() const override;
  /// No further claims: workers' loops end after the item in hand.
  void close();

 private:
  mutable std::mutex mutex_;
  std::condition_variable items_changed_;
  std::condition_variable results_changed_;
  std::deque<WorkItem> items_;
  std::vector<WorkResult> results_;
  bool closed_ = false;
};

/// `count` worker loops on threads of this process. The destructor closes the queue and waits for the items
/// in hand.
class WorkerThreads {
 public:
  /// Throws InfrastructureError when the system gives no more threads.
  WorkerThreads(ThreadQueue& queue, EvaluatorFactory factory, int count);
  ~WorkerThreads();
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;

 private:
  void join();

  ThreadQueue& queue_;
  std::vector<std::thread> threads_;
};

}  // namespace namm::evolution
