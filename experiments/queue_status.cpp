#include "experiments/queue_status.h"

#include <nlohmann/json.hpp>

#include "core/text.h"
#include "experiments/generation_line.h"

namespace namm::experiments {

namespace {

nlohmann::json row_of(const evolution::QueuedRun& run) {
  auto row = nlohmann::json::parse(run.row, nullptr, false);
  return row.is_object() ? row : nlohmann::json::object();
}

bool goes_on(const evolution::QueuedRun& run) {
  return run.announcement.running() && run.coordinated;
}

std::string state_of(const evolution::QueuedRun& run) {
  if (!run.announcement.running()) return run.announcement.state;
  return run.coordinated ? "running" : "without a coordinator";
}

}  // namespace

nlohmann::ordered_json to_json(const std::vector<evolution::QueuedRun>& runs) {
  auto list = nlohmann::ordered_json::array();
  for (const auto& run : runs) {
    auto workers = nlohmann::ordered_json::array();
    for (const auto& worker : run.workers)
      workers.push_back({{"name", worker.name}, {"items", worker.items}, {"in_hand", worker.in_hand}});
    nlohmann::json row = row_of(run);
    const auto left = number_of(row, "seconds_left");
    row.erase("seconds_left");
    list.push_back({{"run", run.announcement.run},
                    {"name", run.announcement.name},
                    {"state", state_of(run)},
                    {"batch", run.batch},
                    {"open_items", run.open_items},
                    {"items_in_hand", run.items_in_hand},
                    {"workers", workers},
                    {"last_generation", row},
                    {"seconds_left", goes_on(run) && left ? nlohmann::json(*left) : nlohmann::json()}});
  }
  return list;
}

std::string to_text(const std::vector<evolution::QueuedRun>& runs) {
  if (runs.empty()) return "no run on this queue\n";
  std::string text;
  for (const auto& run : runs) {
    text += format_text("{} ({}): {}\n", run.announcement.run, run.announcement.name, state_of(run));
    if (!run.batch.empty()) {
      text +=
          format_text("  computing {}: {} open, {} in hand\n", run.batch, run.open_items, run.items_in_hand);
    }
    const nlohmann::json row = row_of(run);
    if (!row.empty()) text += format_text("  {}\n", generation_line(row, goes_on(run)));
    text += format_text("  {} worker processes\n", run.workers.size());
    for (const auto& worker : run.workers)
      text += format_text("    {}: {} items, {} in hand\n", worker.name, worker.items, worker.in_hand);
  }
  return text;
}

}  // namespace namm::experiments
