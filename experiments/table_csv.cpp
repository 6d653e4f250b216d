#include <cmath>

#include "experiments/table_formats.h"
#include "experiments/text_grid.h"

namespace namm::experiments {

namespace {

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

std::string to_csv(const Table& table) {
  std::string text =
      "method,policy,heads,task,score,low,high,n,cache_fraction,cache_tokens,cache_bytes,excess_tokens,equal_"
      "cache\n";
  const auto precise = [](double value) {
    return std::isfinite(value) ? number_text(value, 6) : std::string();
  };
  for (const auto& row : table.rows) {
    const std::string start = csv_field(row.label) + "," + csv_field(row.policy) + "," + row.heads + ",";
    for (const auto& column : table.columns) {
      const auto found = row.cells.find(column.task);
      if (found == row.cells.end()) continue;
      const TableCell& cell = found->second;
      text += start + csv_field(column.task) + "," + precise(cell.score.mean) + "," +
              precise(cell.score.low) + "," + precise(cell.score.high) + "," + std::to_string(cell.score.n) +
              "," + precise(cell.cache_fraction) + "," + precise(cell.cache_tokens) + "," +
              precise(cell.cache_bytes) + "," + precise(cell.excess_tokens) + "," +
              (cell.cache_differs ? "false" : "true") + "\n";
    }
    for (const auto& name : table.mean_columns) {
      const auto found = row.means.find(name);
      if (found == row.means.end()) continue;
      const TableMean& mean = found->second;
      text += start + csv_field(name) + "," + precise(mean.score.mean) + "," + precise(mean.score.low) + "," +
              precise(mean.score.high) + "," + std::to_string(mean.score.n) + "," +
              precise(mean.cache_fraction) + ",,,,\n";
    }
  }
  for (const auto& row : table.published) {
    const std::string start = csv_field(row.method) + ",published,,";
    for (const auto& column : table.columns) {
      if (const auto found = row.scores.find(column.task); found != row.scores.end())
        text += start + csv_field(column.task) + "," + precise(found->second) + ",,,,,,,,\n";
    }
  }
  return text;
}

}  // namespace namm::experiments
