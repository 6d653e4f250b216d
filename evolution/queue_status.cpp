#include "evolution/queue_status.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "evolution/queues/nats_client.h"
#include "evolution/queues/nats_names.h"
#include "evolution/queues/nats_runs.h"

namespace namm::evolution {

std::vector<QueuedRun> queued_runs(const NatsAddress& address) {
  nats::NatsClient client(address, "namm status", false, [] { return false; });
  std::vector<QueuedRun> runs;
  std::vector<uint64_t> held;  ///< revision of each run's coordinator entry
  std::chrono::milliseconds longest_lease{0};
  for (RunAnnouncement& announcement : nats::announced_runs(client)) {
    const std::string name = announcement.run;
    const auto text = [&](const char* key) {
      const auto value = client.get(nats::bucket(name), key);
      return value ? value->bytes : std::string();
    };
    QueuedRun run;
    run.announcement = std::move(announcement);
    run.batch = text(nats::kBatchKey);
    run.row = text(nats::kRowKey);
    if (const auto items = client.stream_state(nats::items_stream(name))) {
      run.open_items = static_cast<int64_t>(items->messages);
    }
    if (const auto consumer = client.consumer_state(nats::items_stream(name), nats::kWorkersConsumer)) {
      run.items_in_hand = consumer->ack_pending;
    }
    run.workers = nats::ask_workers(client, name);
    const auto holder = client.get(nats::bucket(name), nats::kCoordinatorKey);
    held.push_back(holder ? holder->revision : 0);
    longest_lease = std::max(longest_lease, run.announcement.lease());
    runs.push_back(std::move(run));
  }
  // A coordinator that is alive prolongs its entry three times a lease.
  if (std::ranges::any_of(held, [](uint64_t revision) { return revision > 0; })) {
    std::this_thread::sleep_for(longest_lease / 2);
  }
  std::vector<QueuedRun> still_there;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::string& name = runs[i].announcement.run;
    const auto holder = client.get(nats::bucket(name), nats::kCoordinatorKey);
    runs[i].coordinated = holder && holder->revision != held[i];
    // Its announcement goes before its coordinator's entry does.
    auto now = nats::announced_run(client, name);
    if (!now) continue;
    runs[i].announcement = std::move(*now);
    still_there.push_back(std::move(runs[i]));
  }
  return still_there;
}

}  // namespace namm::evolution
