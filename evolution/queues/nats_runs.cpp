#include "evolution/queues/nats_runs.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/text.h"
#include "evolution/queues/nats_names.h"

namespace namm::evolution {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WorkerPresence, name, items, in_hand)

namespace nats {

std::optional<RunAnnouncement> announced_run(NatsClient& client, const std::string& run) {
  const auto value = client.get(kAnnouncements, run);
  if (!value) return std::nullopt;
  try {
    RunAnnouncement announcement = parse_announcement(value->bytes);
    if (announcement.run == run) return announcement;
  } catch (const DataError& error) {
    log_debug(format_text("run {}: {}", run, error.what()));
  }
  return std::nullopt;
}

std::vector<RunAnnouncement> announced_runs(NatsClient& client) {
  const std::string prefix = key_subject(kAnnouncements, "");
  std::vector<RunAnnouncement> runs;
  const auto subjects = client.subjects(std::string("KV_") + kAnnouncements, prefix + ">");
  for (const std::string& subject : subjects.value_or(std::set<std::string>())) {
    const std::string run = subject.substr(prefix.size());
    if (!is_run_id(run)) continue;
    if (auto announcement = announced_run(client, run)) runs.push_back(std::move(*announcement));
  }
  std::sort(runs.begin(), runs.end(), [](const auto& a, const auto& b) { return a.run < b.run; });
  return runs;
}

std::string to_json_text(const WorkerPresence& presence) {
  return namm::to_json_text(nlohmann::json(presence));
}

std::vector<std::vector<WorkerPresence>> ask_workers(NatsClient& client,
                                                     const std::vector<std::string>& runs) {
  constexpr std::chrono::milliseconds kAnswers{1000};
  std::vector<std::string> subjects;
  for (const std::string& run : runs) subjects.push_back(ping_subject(run));
  std::vector<std::vector<WorkerPresence>> workers;
  for (const std::vector<std::string>& answers : client.ask_all(subjects, kAnswers)) {
    auto& found = workers.emplace_back();
    for (const std::string& answer : answers) {
      try {
        found.push_back(parse_json(answer, "a worker's answer").get<WorkerPresence>());
      } catch (const std::exception& error) {
        log_debug(format_text("run {}: {}", runs[workers.size() - 1], error.what()));
      }
    }
    std::ranges::sort(found, {}, &WorkerPresence::name);
  }
  return workers;
}

std::vector<WorkerPresence> ask_workers(NatsClient& client, const std::string& run) {
  return std::move(ask_workers(client, std::vector{run}).front());
}

}  // namespace nats
}  // namespace namm::evolution
