#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "experiments/table.h"

namespace namm::experiments {

/// With differences, notes and what the marks mean below.
std::string to_markdown(const Table& table);
std::string to_csv(const Table& table);
std::string to_latex(const Table& table);
/// The document of design 4, with "differences", "means" and "notes" beside it.
nlohmann::ordered_json to_json(const Table& table);

}  // namespace namm::experiments
