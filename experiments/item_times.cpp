#include "experiments/item_times.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/files.h"
#include "core/json_lines.h"
#include "core/text.h"

namespace namm::experiments {

namespace {

const char* const kFormat = "namm-item-times";
constexpr int64_t kVersion = 1;

std::string text_of(const ItemKind& kind) {
  return format_text("{}, {}{}, {}, {} x {}", kind.stage, kind.purpose,
                     kind.variant == 0 ? "" : format_text(" (variant {})", kind.variant), kind.task,
                     kind.members, kind.samples);
}

double number_of(const nlohmann::json& json, const char* key) {
  const double value = json.at(key).get<double>();
  if (!std::isfinite(value) || value < 0) throw DataError(std::string(key) + " is no time or size");
  return value;
}

ItemTimes read_times(const nlohmann::json& json) {
  if (json.at("format") != kFormat || json.at("version") != kVersion)
    throw DataError(format_text("not of format {}, version {}", kFormat, kVersion));
  ItemTimes times;
  times.device = json.at("device").get<std::string>();
  times.assumptions = json.at("assumptions").get<std::vector<std::string>>();
  const auto& coordinator = json.at("coordinator");
  times.coordinator = {number_of(coordinator, "update_seconds"), number_of(coordinator, "checkpoint_seconds"),
                       static_cast<int64_t>(number_of(coordinator, "checkpoint_bytes")),
                       number_of(coordinator, "result_seconds")};
  for (const auto& entry : json.at("items")) {
    ItemKind kind{entry.at("stage").get<std::string>(), entry.at("purpose").get<std::string>(),
                  entry.at("variant").get<int64_t>(),   entry.at("task").get<std::string>(),
                  entry.at("members").get<int64_t>(),   entry.at("samples").get<int64_t>()};
    KindTimes of_kind{entry.at("seconds").get<std::vector<double>>(),
                      static_cast<int64_t>(number_of(entry, "result_bytes"))};
    const bool usable =
        !of_kind.seconds.empty() && kind.members > 0 && kind.samples > 0 &&
        std::ranges::all_of(of_kind.seconds, [](double s) { return std::isfinite(s) && s >= 0; });
    if (!usable) throw DataError("no times of " + text_of(kind));
    times.kinds[std::move(kind)] = std::move(of_kind);
  }
  return times;
}

}  // namespace

ItemKind kind_of(const StageWork& work, const evolution::WorkItem& item) {
  return {work.name,       std::string(evolution::to_string(item.id.purpose)),
          item.id.variant, work.tasks.at(static_cast<size_t>(item.samples.front().task)),
          item.rows(),     std::ssize(item.samples)};
}

KindTimes ItemTimes::find(const ItemKind& kind, std::vector<std::string>& scaled) const {
  if (const auto found = kinds.find(kind); found != kinds.end()) return found->second;
  const auto size = [](const ItemKind& k) { return static_cast<double>(k.members * k.samples); };
  const ItemKind* best = nullptr;
  const auto distance = [&](const ItemKind& k) {
    return std::tuple(k.task != kind.task, k.stage != kind.stage, k.variant != kind.variant,
                      std::abs(std::log(size(k) / size(kind))));
  };
  for (const auto& [known, times] : kinds) {
    if (known.purpose == kind.purpose && (best == nullptr || distance(known) < distance(*best)))
      best = &known;
  }
  if (best == nullptr) {
    throw ConfigError(
        format_text("no times of {} items ({}) are known: measure this configuration, or predict its times "
                    "with --seconds-per-1k-tokens",
                    kind.purpose, text_of(kind)));
  }
  const double factor = size(kind) / size(*best);
  scaled.push_back(
      format_text("Times of ({}) are those of ({}) times {}.", text_of(kind), text_of(*best), factor));
  KindTimes times = kinds.at(*best);
  for (double& seconds : times.seconds) seconds *= factor;
  times.result_bytes = std::llround(static_cast<double>(times.result_bytes) * factor);
  return times;
}

void save_item_times(const std::filesystem::path& path, const ItemTimes& times) {
  nlohmann::ordered_json json{{"format", kFormat},
                              {"version", kVersion},
                              {"device", times.device},
                              {"assumptions", times.assumptions},
                              {"coordinator",
                               {{"update_seconds", times.coordinator.update_seconds},
                                {"checkpoint_seconds", times.coordinator.checkpoint_seconds},
                                {"checkpoint_bytes", times.coordinator.checkpoint_bytes},
                                {"result_seconds", times.coordinator.result_seconds}}},
                              {"items", nlohmann::ordered_json::array()}};
  for (const auto& [kind, of_kind] : times.kinds) {
    json["items"].push_back({{"stage", kind.stage},
                             {"purpose", kind.purpose},
                             {"variant", kind.variant},
                             {"task", kind.task},
                             {"members", kind.members},
                             {"samples", kind.samples},
                             {"seconds", of_kind.seconds},
                             {"result_bytes", of_kind.result_bytes}});
  }
  write_atomically(path, json.dump(1) + "\n");
}

ItemTimes load_item_times(const std::filesystem::path& path) {
  const nlohmann::json json = read_json(path);
  try {
    return read_times(json);
  } catch (const std::exception& error) {
    throw DataError(format_text("{}: is no file of `namm plan --save`: {}", path.string(), error.what()));
  }
}

}  // namespace namm::experiments
