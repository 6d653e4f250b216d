#include "experiments/generation_line.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "core/text.h"

namespace namm::experiments {

namespace {

double rounded(double value, double steps) {
  return std::round(value * steps) / steps;
}

double pace_of(const evolution::GenerationRow& row) {
  return row.seconds > 0 ? static_cast<double>(row.evaluations) / row.seconds : 0;
}

double seconds_left_of(const evolution::GenerationRow& row, int64_t generations_left) {
  return row.seconds * static_cast<double>(generations_left);
}

}  // namespace

std::string generation_line(const std::string& stage, const evolution::GenerationRow& row,
                            int64_t generations_left) {
  std::string line = format_text("{} generation {}, best {}, mean {}, sigma {}, cache {} %", stage,
                                 row.generation, rounded(row.best, 1e4), rounded(row.mean, 1e4),
                                 rounded(row.sigma, 1e4), rounded(100 * row.cache_fraction, 10));
  if (row.validation) line += format_text(", validation {}", rounded(*row.validation, 1e4));
  line += format_text(", {} evaluations/s, {} workers", rounded(pace_of(row), 10), row.workers);
  if (row.reissued > 0) line += format_text(", {} items handed out again", row.reissued);
  if (row.non_finite > 0) line += format_text(", {} members without a fitness", row.non_finite);
  if (generations_left > 0) line += ", left " + format_seconds(seconds_left_of(row, generations_left));
  return line;
}

nlohmann::json generation_json(const evolution::GenerationRow& row, int64_t generations_left) {
  nlohmann::json json = evolution::to_json(row);
  json["evaluations_per_second"] = pace_of(row);
  json["seconds_left"] = seconds_left_of(row, generations_left);
  return json;
}

}  // namespace namm::experiments
