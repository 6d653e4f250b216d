#include "evolution/queue_simulation.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "core/errors.h"
#include "core/text.h"
#include "evolution/queue.h"

namespace namm::evolution {
namespace {

void require_time(double seconds, const char* what) {
  if (!(seconds >= 0) || !std::isfinite(seconds)) {
    throw std::invalid_argument(format_text("QueueSimulation: {} = {} s is no time", what, seconds));
  }
}

}  // namespace

QueueSimulation::QueueSimulation(const SimulatedQueueConfig& config) : config_(config) {
  if (config.workers < 1 || config.prefetch < 0) {
    throw std::invalid_argument("QueueSimulation: at least one worker, and no negative number of items held");
  }
  require_time(config.lease_seconds, "lease");
  require_time(config.failure_seconds, "time between failures");
  require_time(config.restart_seconds, "restart");
  require_time(config.result_seconds, "time for a result");
  for (int64_t w = 0; w < config.workers; ++w) {
    workers_.push_back({RandomStream(
        {.seed = config.seed, .purpose = "plan/failures", .member = static_cast<uint64_t>(w)})});
    expect_failure(w, 0);
  }
  fetched_.resize(workers_.size());
}

void QueueSimulation::run_batch(std::span<const SimulatedItem> items) {
  for (const SimulatedItem& item : items) {
    require_time(item.seconds, "item");
  }
  wait(0);  // failures while the coordinator took the last results
  items_ = items;
  missing_ = static_cast<int64_t>(items.size());
  losses_.assign(items.size(), 0);
  taken_ = totals_.seconds;
  for (std::vector<int32_t>& blocks : fetched_) {
    blocks.clear();
  }
  for (int64_t i = 0; i < missing_; ++i) {
    open_.push_back(i);
  }
  for (int64_t w = 0; w < config_.workers; ++w) {
    request(w);
  }
  serve(totals_.seconds);
  while (missing_ > 0) {
    const Event event = events_.top();
    events_.pop();
    handle(event);
  }
  items_ = {};
  totals_.seconds = std::max(totals_.seconds, taken_);
}

void QueueSimulation::wait(double seconds) {
  require_time(seconds, "wait");
  const double end = totals_.seconds + seconds;
  while (!events_.empty() && events_.top().time <= end) {
    const Event event = events_.top();
    events_.pop();
    handle(event);
  }
  totals_.seconds = end;
}

void QueueSimulation::expect(double time, Kind kind, int64_t subject, int64_t incarnation) {
  events_.push({time, order_++, kind, subject, incarnation});
}

void QueueSimulation::expect_failure(int64_t worker, double now) {
  if (config_.failure_seconds == 0) {
    return;
  }
  Worker& self = workers_[static_cast<std::size_t>(worker)];
  const double after = -std::log1p(-self.failures.uniform()) * config_.failure_seconds;
  expect(now + after, Kind::failed, worker, self.incarnation);
}

void QueueSimulation::handle(const Event& event) {
  const double now = event.time;
  if (event.kind == Kind::returned) {
    open_.push_front(event.subject);
    serve(now);
    return;
  }
  Worker& worker = workers_[static_cast<std::size_t>(event.subject)];
  if (event.incarnation != worker.incarnation) {
    return;
  }
  switch (event.kind) {
    case Kind::failed:
      fail(event.subject, now);
      break;
    case Kind::restarted:
      worker.up = true;
      expect_failure(event.subject, now);
      request(event.subject);
      break;
    default:
      finish(event.subject, now);
      break;
  }
  serve(now);
}

void QueueSimulation::fail(int64_t worker, double now) {
  Worker& self = workers_[static_cast<std::size_t>(worker)];
  ++totals_.failures;
  if (self.item >= 0) {
    totals_.lost_seconds += now - self.began;
    lose(self.item, now);
    self.item = -1;
  }
  for (const int64_t item : self.held) {
    lose(item, now);
  }
  self.held.clear();
  self.up = false;
  self.requesting = false;
  self.holds_ahead = false;
  ++self.incarnation;
  fetched_[static_cast<std::size_t>(worker)].clear();
  expect(now + config_.restart_seconds, Kind::restarted, worker, self.incarnation);
}

void QueueSimulation::lose(int64_t item, double now) {
  ++totals_.lost_items;
  if (++losses_[static_cast<std::size_t>(item)] > kMostLosses) {
    throw InfrastructureError(
        format_text("an item of {} s was lost {} times: workers that fail every {} s on average never get "
                    "through; make items smaller (evolution.members_per_item, samples_per_item)",
                    items_[static_cast<std::size_t>(item)].seconds, kMostLosses, config_.failure_seconds));
  }
  expect(now + config_.lease_seconds, Kind::returned, item, 0);
}

void QueueSimulation::finish(int64_t worker, double now) {
  Worker& self = workers_[static_cast<std::size_t>(worker)];
  const double seconds = items_[static_cast<std::size_t>(self.item)].seconds;
  totals_.useful_seconds += seconds;
  self.holds_ahead = std::chrono::duration<double>(seconds) < kShortItem;
  ++totals_.items;
  --missing_;
  taken_ = std::max(taken_, now) + config_.result_seconds;
  self.item = -1;
  if (!self.held.empty()) {
    const int64_t next = self.held.front();
    self.held.pop_front();
    begin(worker, next, now);
  }
  request(worker);
}

void QueueSimulation::begin(int64_t worker, int64_t item, double now) {
  Worker& self = workers_[static_cast<std::size_t>(worker)];
  const SimulatedItem& work = items_[static_cast<std::size_t>(item)];
  std::vector<int32_t>& blocks = fetched_[static_cast<std::size_t>(worker)];
  if (work.candidates >= 0 && std::find(blocks.begin(), blocks.end(), work.candidates) == blocks.end()) {
    blocks.push_back(work.candidates);
    totals_.fetched_bytes += work.candidates_bytes;
  }
  self.item = item;
  self.began = now;
  expect(now + work.seconds, Kind::finished, worker, self.incarnation);
}

void QueueSimulation::request(int64_t worker) {
  Worker& self = workers_[static_cast<std::size_t>(worker)];
  const int64_t ahead = self.holds_ahead ? config_.prefetch : 0;
  const bool wants = self.item < 0 || static_cast<int64_t>(self.held.size()) < ahead;
  if (!self.up || self.requesting || !wants) {
    return;
  }
  self.requesting = true;
  requests_.emplace_back(worker, self.incarnation);
}

void QueueSimulation::serve(double now) {
  while (!open_.empty() && !requests_.empty()) {
    const auto [worker, incarnation] = requests_.front();
    requests_.pop_front();
    Worker& self = workers_[static_cast<std::size_t>(worker)];
    if (incarnation != self.incarnation) {
      continue;
    }
    self.requesting = false;
    const int64_t item = open_.front();
    open_.pop_front();
    if (self.item < 0) {
      begin(worker, item, now);
    } else {
      self.held.push_back(item);
    }
    request(worker);
  }
}

}  // namespace namm::evolution
