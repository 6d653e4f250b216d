#include "evolution/queues/nats_runs.h"

#include <algorithm>

#include "core/errors.h"
#include "core/log.h"
#include "core/text.h"
#include "evolution/queues/nats_names.h"

namespace namm::evolution::nats {

std::vector<RunAnnouncement> announced_runs(NatsClient& client) {
  const std::string prefix = bucket_stream("");
  std::vector<RunAnnouncement> runs;
  for (const std::string& stream : client.stream_names()) {
    if (!stream.starts_with(prefix)) continue;
    const std::string run = stream.substr(prefix.size());
    if (!is_run_id(run)) continue;
    const auto value = client.get(bucket(run), kAnnouncementKey);
    if (!value) continue;
    try {
      RunAnnouncement announcement = parse_announcement(value->bytes);
      if (announcement.run == run) runs.push_back(std::move(announcement));
    } catch (const DataError& error) {
      log_debug(format_text("run {}: {}", run, error.what()));
    }
  }
  std::sort(runs.begin(), runs.end(), [](const auto& a, const auto& b) { return a.run < b.run; });
  return runs;
}

}  // namespace namm::evolution::nats
