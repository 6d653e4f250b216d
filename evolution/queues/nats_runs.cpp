#include "evolution/queues/nats_runs.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/text.h"
#include "evolution/queues/nats_names.h"

namespace namm::evolution {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WorkerPresence, name, items, in_hand)

namespace nats {

std::vector<RunAnnouncement> announced_runs(NatsClient& client) {
  const std::string prefix = key_subject(kAnnouncements, "");
  std::vector<RunAnnouncement> runs;
  const auto subjects = client.subjects(std::string("KV_") + kAnnouncements, prefix + ">");
  for (const std::string& subject : subjects.value_or(std::set<std::string>())) {
    const std::string run = subject.substr(prefix.size());
    if (!is_run_id(run)) continue;
    const auto value = client.get(kAnnouncements, run);
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

std::string to_json_text(const WorkerPresence& presence) {
  return namm::to_json_text(nlohmann::json(presence));
}

std::vector<WorkerPresence> ask_workers(NatsClient& client, const std::string& run) {
  constexpr std::chrono::milliseconds kAnswers{1000};
  std::vector<WorkerPresence> workers;
  for (const std::string& answer : client.ask_all(ping_subject(run), kAnswers)) {
    try {
      workers.push_back(parse_json(answer, "a worker's answer").get<WorkerPresence>());
    } catch (const std::exception& error) {
      log_debug(format_text("run {}: {}", run, error.what()));
    }
  }
  std::ranges::sort(workers, {}, &WorkerPresence::name);
  return workers;
}

}  // namespace nats
}  // namespace namm::evolution
