#include "experiments/queued_runs.h"

#include <cmath>
#include <optional>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/text.h"
#include "experiments/experiment.h"

namespace namm::experiments {

namespace {

/// Generations of all evolve stages; nothing where the configuration is none of this program's.
std::optional<int64_t> generations_of(const evolution::RunAnnouncement& run) {
  try {
    const auto config =
        read_config<ExperimentConfig>(ConfigDocument::from_text(run.config, "config of run " + run.run));
    int64_t generations = 0;
    for (const StageConfig& stage : config.stages)
      generations += stage.evolve ? stage.evolve->generations : 0;
    return generations;
  } catch (const Error&) {
    return std::nullopt;
  }
}

nlohmann::json row_of(const evolution::QueuedRun& run) {
  const auto row = nlohmann::json::parse(run.row, nullptr, false);
  return row.is_object() ? row : nlohmann::json::object();
}

std::optional<double> number(const nlohmann::json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
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
    nlohmann::ordered_json entry = {{"run", run.announcement.run},  {"name", run.announcement.name},
                                    {"state", state_of(run)},       {"batch", run.batch},
                                    {"open_items", run.open_items}, {"items_in_hand", run.items_in_hand},
                                    {"workers", workers},           {"last_generation", row_of(run)}};
    if (const auto generations = generations_of(run.announcement)) entry["generations"] = *generations;
    list.push_back(std::move(entry));
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
    const auto generation = number(row, "generation");
    const auto generations = generations_of(run.announcement);
    if (generation) {
      text += format_text("  {}{} generations done", *generation + 1,
                          generations ? format_text(" of {}", *generations) : "");
      for (const char* key : {"best", "mean", "sigma", "validation"}) {
        if (const auto value = number(row, key))
          text += format_text(", {} {}", key, std::round(*value * 1e4) / 1e4);
      }
      const auto seconds = number(row, "seconds");
      const auto evaluations = number(row, "evaluations");
      if (seconds && evaluations && *seconds > 0)
        text += format_text(", {} evaluations/s", std::round(*evaluations / *seconds * 10) / 10);
      if (seconds && generations && *generation + 1 < static_cast<double>(*generations))
        text += ", left " + format_seconds(*seconds * (static_cast<double>(*generations) - *generation - 1));
      text += "\n";
    }
    text += format_text("  {} workers\n", run.workers.size());
    for (const auto& worker : run.workers)
      text += format_text("    {}: {} items, {} in hand\n", worker.name, worker.items, worker.in_hand);
  }
  return text;
}

}  // namespace namm::experiments
