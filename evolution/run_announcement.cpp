#include "evolution/run_announcement.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_lines.h"
#include "core/text.h"

namespace namm::evolution {

namespace {

constexpr int kProtocol = 1;

/// What a configuration may hold, in steps that clocks can count: a worker sleeps and waits by these numbers.
void check_numbers(const RunAnnouncement& announcement, const nlohmann::json& json) {
  constexpr double kLongestLease = 86400;
  constexpr double kLongestItem = 1e7;
  constexpr int64_t kMostDeliveries = 1000;
  const auto within = [](double value, double least, double most) { return value >= least && value <= most; };
  const bool lease = within(announcement.lease_seconds, 1e-3, kLongestLease);
  const bool limit = within(announcement.item_limit_seconds, 0, kLongestItem);
  const nlohmann::json& deliveries = json.at("max_deliveries");
  const bool count = deliveries.is_number_integer() && deliveries >= 1 && deliveries <= kMostDeliveries;
  if (!lease || !limit || !count) {
    throw DataError(
        "announcement of a run: lease_seconds, item_limit_seconds or max_deliveries is none that a "
        "configuration may have");
  }
}

}  // namespace

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RunAnnouncement, run, name, state, config, config_sha256, requirements,
                                   lease_seconds, item_limit_seconds, max_deliveries)

std::string to_json_text(const RunAnnouncement& announcement) {
  nlohmann::json json = announcement;
  json["protocol"] = kProtocol;
  return namm::to_json_text(json);
}

RunAnnouncement parse_announcement(std::string_view text) {
  const nlohmann::json json = parse_json(text, "announcement of a run");
  try {
    if (json.at("protocol") != kProtocol) {
      throw DataError(format_text("announcement of a run: protocol {} of the queue, this program speaks {}",
                                  json.at("protocol").dump(), kProtocol));
    }
    auto announcement = json.get<RunAnnouncement>();
    check_numbers(announcement, json);
    if (!is_run_id(announcement.run)) {
      throw DataError("announcement of a run: no name that a run may have");
    }
    return announcement;
  } catch (const nlohmann::json::exception& error) {
    throw DataError(std::string("announcement of a run: ") + error.what());
  }
}

std::string difference(const std::map<std::string, std::string>& required,
                       const std::map<std::string, std::string>& own) {
  for (const auto& [fact, value] : required) {
    const auto found = own.find(fact);
    if (found == own.end()) {
      return format_text("the run needs {} {}, which this worker does not know", fact, value);
    }
    if (found->second != value) {
      return format_text("the run needs {} {}, this worker has {}", fact, value, found->second);
    }
  }
  return "";
}

bool is_run_id(std::string_view run) {
  constexpr std::size_t kLongest = 128;
  return !run.empty() && run.size() <= kLongest && std::all_of(run.begin(), run.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

}  // namespace namm::evolution
