#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace namm::evolution {

/// One row of log.jsonl.
struct GenerationRow {
  int64_t generation = 0;
  int32_t stage = 0;
  double best = 0, mean = 0, median = 0;  ///< over the finite fitness values
  double sigma = 0;                       ///< after the update
  double cache_fraction = 1;
  int64_t evaluations = 0;  ///< (member, sample) pairs of the generation
  int64_t non_finite = 0;
  int64_t reissued = 0;  ///< items handed out again: after a failure, or because a worker was lost
  int64_t workers = 0;   ///< threads that contributed to the generation; a worker process has one or more
  double seconds = 0;
  std::string state_sha256;          ///< of the checkpoint after this generation
  std::optional<double> validation;  ///< of the mean after this generation, when it was due
  std::vector<std::pair<std::string, double>> extra;
};

/// The row as it stands in log.jsonl.
nlohmann::json to_json(const GenerationRow& row);

/// Best, mean and median of the finite fitness values, and how many are not finite.
void summarise(const std::vector<double>& fitness, GenerationRow& row);

}  // namespace namm::evolution
