#include "evolution/queue_status.h"

#include "evolution/queues/nats_client.h"
#include "evolution/queues/nats_names.h"
#include "evolution/queues/nats_runs.h"

namespace namm::evolution {

std::vector<QueuedRun> queued_runs(const NatsAddress& address) {
  nats::NatsClient client(address, "namm status", false, [] { return false; });
  std::vector<QueuedRun> runs;
  for (RunAnnouncement& announcement : nats::announced_runs(client)) {
    const std::string name = announcement.run;
    const auto text = [&](const char* key) {
      const auto value = client.get(nats::bucket(name), key);
      return value ? value->bytes : std::string();
    };
    QueuedRun run;
    run.announcement = std::move(announcement);
    run.coordinated = !text(nats::kCoordinatorKey).empty();
    run.batch = text(nats::kBatchKey);
    run.row = text(nats::kRowKey);
    if (const auto items = client.stream_state(nats::items_stream(name))) {
      run.open_items = static_cast<int64_t>(items->messages);
    }
    if (const auto consumer = client.consumer_state(nats::items_stream(name), nats::kWorkersConsumer)) {
      run.items_in_hand = consumer->ack_pending;
    }
    run.workers = nats::ask_workers(client, name);
    runs.push_back(std::move(run));
  }
  return runs;
}

}  // namespace namm::evolution
