#pragma once

#include <functional>
#include <memory>
#include <string>

#include "evolution/queue.h"
#include "evolution/run_announcement.h"

namespace namm::evolution {

namespace nats {
class NatsClient;
}

/// The worker's side of a queue between machines: items of one run, each with its candidates fetched and its
/// content checked. While short items are computed the next one is fetched ahead. `claim` and `post` belong
/// to one thread; `renew` may come from another.
class NatsSource : public ItemSource {
 public:
  /// `client` outlives the source; `worker` is the name that the worker's results bear; `closed` says when
  /// the worker is to end. `on_hang` is called, from the thread that renews, when an item has taken longer
  /// than the run's limit and has been handed in as failed: its evaluation may never end. Throws
  /// InfrastructureError when the run is gone.
  NatsSource(nats::NatsClient& client, const RunAnnouncement& announcement, std::string worker,
             std::function<bool()> closed, std::function<void()> on_hang);
  ~NatsSource() override;

  std::optional<WorkItem> claim(std::chrono::milliseconds wait) override;
  void renew(const WorkItem& item) override;
  std::chrono::milliseconds renew_interval() const override;
  /// The result is handed in by a thread of the source, which acknowledges the item once the server has
  /// stored it: a worker that dies in between leaves a duplicate and loses nothing. Where the run is gone the
  /// result is dropped. The destructor waits for results that are on their way.
  void post(WorkResult result) override;
  bool closed() const override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace namm::evolution
