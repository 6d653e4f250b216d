#include "evolution/queues/threads.h"

#include <exception>
#include <iterator>
#include <utility>

#include "core/errors.h"
#include "core/text.h"

namespace namm::evolution {

void ThreadQueue::publish(std::vector<WorkItem> items) {
  {
    const std::lock_guard lock(mutex_);
    std::move(items.begin(), items.end(), std::back_inserter(items_));
  }
  items_changed_.notify_all();
}

std::optional<WorkItem> ThreadQueue::claim(std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  items_changed_.wait_for(lock, wait, [&] { return closed_ || !items_.empty(); });
  if (closed_ || items_.empty()) {
    return std::nullopt;
  }
  WorkItem item = std::move(items_.front());
  items_.pop_front();
  return item;
}

void ThreadQueue::post(WorkResult result) {
  {
    const std::lock_guard lock(mutex_);
    results_.push_back(std::move(result));
  }
  results_changed_.notify_all();
}

std::vector<WorkResult> ThreadQueue::gather(std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  results_changed_.wait_for(lock, wait, [&] { return !results_.empty(); });
  return std::exchange(results_, {});
}

std::vector<ItemId> ThreadQueue::withdraw() {
  const std::lock_guard lock(mutex_);
  std::vector<ItemId> ids;
  for (const WorkItem& item : items_) {
    ids.push_back(item.id);
  }
  items_.clear();
  return ids;
}

void ThreadQueue::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  items_changed_.notify_all();
}

bool ThreadQueue::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

WorkerThreads::WorkerThreads(ThreadQueue& queue, EvaluatorFactory factory, int count) : queue_(queue) {
  try {
    for (int index = 0; index < count; ++index) {
      threads_.emplace_back(
          [&queue, factory, index] { run_worker(queue, factory, format_text("thread {}", index)); });
    }
  } catch (const std::exception& error) {
    const std::size_t made = threads_.size();
    join();
    throw InfrastructureError(format_text("thread {} of {} cannot be made ({}): choose fewer with --threads",
                                          made + 1, count, error.what()));
  }
}

WorkerThreads::~WorkerThreads() {
  join();
}

void WorkerThreads::join() {
  queue_.close();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

}  // namespace namm::evolution
