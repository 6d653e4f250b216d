#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "evolution/generation_row.h"

namespace namm::experiments {

/// A finished generation in a line: best, mean, step size, cache, pace, workers, time left.
/// `generations_left`: of the stage, at this generation's pace.
std::string generation_line(const std::string& stage, const evolution::GenerationRow& row,
                            int64_t generations_left);

/// The row of log.jsonl with evaluations_per_second and seconds_left.
nlohmann::json generation_json(const evolution::GenerationRow& row, int64_t generations_left);

}  // namespace namm::experiments
