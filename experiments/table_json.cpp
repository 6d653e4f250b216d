#include <nlohmann/json.hpp>

#include "experiments/table_formats.h"

namespace namm::experiments {

namespace {

nlohmann::ordered_json estimate_json(const Estimate& estimate) {
  return {{"score", estimate.mean}, {"low", estimate.low}, {"high", estimate.high}, {"n", estimate.n}};
}

nlohmann::ordered_json difference_json(const Estimate& estimate) {
  return {{"difference", estimate.mean}, {"low", estimate.low}, {"high", estimate.high}, {"n", estimate.n}};
}

}  // namespace

nlohmann::ordered_json to_json(const Table& table) {
  nlohmann::ordered_json document;
  document["columns"] = nlohmann::ordered_json::array();
  document["evolved_on"] = nlohmann::ordered_json::array();
  for (const auto& column : table.columns) {
    document["columns"].push_back(column.task);
    if (column.evolved) document["evolved_on"].push_back(column.task);
  }
  document["rows"] = nlohmann::ordered_json::array();
  for (const auto& row : table.rows) {
    nlohmann::ordered_json entry{{"method", row.label}, {"policy", row.policy}};
    entry["heads"] = row.heads.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(row.heads);
    entry["cells"] = nlohmann::ordered_json::object();
    for (const auto& column : table.columns) {
      const auto found = row.cells.find(column.task);
      if (found == row.cells.end()) continue;
      auto cell = estimate_json(found->second.score);
      cell["cache_fraction"] = found->second.cache_fraction;
      cell["cache_tokens"] = found->second.cache_tokens;
      cell["cache_bytes"] = found->second.cache_bytes;
      cell["excess_tokens"] = found->second.excess_tokens;
      cell["equal_cache"] = !found->second.cache_differs;
      entry["cells"][column.task] = cell;
    }
    entry["means"] = nlohmann::ordered_json::object();
    for (const auto& [name, mean] : row.means) {
      entry["means"][name] = estimate_json(mean.score);
      entry["means"][name]["cache_fraction"] = mean.cache_fraction;
    }
    // With a single task its own score is the average.
    double sum = 0;
    for (const auto& [task, cell] : row.cells) sum += cell.score.mean;
    entry["average"] = row.cells.size() == table.columns.size()
                           ? nlohmann::ordered_json(sum / static_cast<double>(row.cells.size()))
                           : nlohmann::ordered_json();
    entry["normalized_average"] =
        row.normalized_average ? nlohmann::ordered_json(*row.normalized_average) : nlohmann::ordered_json();
    document["rows"].push_back(entry);
  }
  document["differences"] = nlohmann::ordered_json::array();
  for (const auto& difference : table.differences) {
    nlohmann::ordered_json entry{{"method", difference.subject}, {"against", difference.against}};
    entry["cells"] = nlohmann::ordered_json::object();
    for (const auto& [task, estimate] : difference.cells) entry["cells"][task] = difference_json(estimate);
    entry["means"] = nlohmann::ordered_json::object();
    for (const auto& [name, estimate] : difference.means) entry["means"][name] = difference_json(estimate);
    document["differences"].push_back(entry);
  }
  document["budgets"] = table.budgets;
  document["truncated_prompts"] = table.truncated_prompts;
  document["skipped_records"] = table.skipped_records;
  document["unscored"] = table.unscored;
  document["left_out"] = table.left_out;
  document["published"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < table.published.size(); ++i) {
    document["published"].push_back({{"method", table.published[i].method},
                                     {"source", table.published[i].source},
                                     {"scores", table.published[i].scores},
                                     {"means", table.published_means[i]}});
  }
  document["memories"] = table.memories;
  document["held_out"] = !table.has_validation;
  document["notes"] = table.notes;
  return document;
}

}  // namespace namm::experiments
