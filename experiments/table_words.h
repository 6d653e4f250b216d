#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "experiments/table.h"
#include "experiments/text_grid.h"

// What Markdown and LaTeX say in the same words.
namespace namm::experiments {

/// Head of the column of normalised averages.
inline const std::string kNormalized = "normalised (full = 1)";

inline std::string row_name(const TableRow& row) {
  return row.heads.empty() ? row.label : row.label + " (" + row.heads + ")";
}

inline std::string ratio_text(const std::optional<double>& ratio) {
  return ratio ? number_text(*ratio, 3) : "-";
}

inline std::string entry_text(const std::map<std::string, double>& entries, const std::string& key,
                              int64_t decimals) {
  const auto found = entries.find(key);
  return found == entries.end() ? "-" : number_text(found->second, decimals);
}

}  // namespace namm::experiments
