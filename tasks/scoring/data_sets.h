#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tasks/scoring/records.h"

namespace namm::tasks {

/// How the files of one benchmark are recognised and scored.
struct DataSetScorer {
  std::string benchmark;           ///< for people: "LongBench"
  std::string kind = "data set";   ///< what the benchmark calls a member
  std::vector<std::string> names;  ///< of all, for people
  std::string prefix;              ///< of predictions files, may be left out
  std::function<bool(const std::string& dataset)> knows;
  std::function<nlohmann::ordered_json(const PredictionFile&)> score;  ///< the entry of the document
};

/// Adds an entry for every predictions file to the document's "datasets", and "skipped" for the files of a
/// folder that are no data set. Throws ConfigError for an unknown --dataset or a single file of no data set.
void score_data_sets(nlohmann::ordered_json& document, const std::filesystem::path& predictions,
                     const std::optional<std::string>& dataset, const DataSetScorer& scorer);

}  // namespace namm::tasks
