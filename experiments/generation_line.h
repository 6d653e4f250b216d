#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace namm::experiments {

// What `namm run`, `namm status DIR` and `namm status nats://...` say of a generation: one choice of numbers,
// one pace, one way to put them into words.

/// Scores of a generation, as far as its row of log.jsonl has them.
struct GenerationScores {
  std::optional<double> best, mean, sigma, cache_fraction, validation;
};

GenerationScores scores_of(const nlohmann::json& row);
/// "best 0.5", "mean 0.25", ...
std::vector<std::string> words_of(const GenerationScores& scores);

/// How fast a stage goes: means over its last generations.
struct Pace {
  double seconds_per_generation = 0;
  double evaluations_per_second = 0;

  static constexpr int kRecent = 10;  ///< generations
};

/// Rows of log.jsonl that belong to a stage, in their order.
std::vector<nlohmann::json> rows_of_stage(const std::vector<nlohmann::json>& rows, int64_t stage);
/// `rows`: of one stage, the newest last; may be empty.
Pace pace_of(const std::vector<nlohmann::json>& rows);
/// "4.5 s a generation", "12.3 evaluations/s"; empty where nothing is known.
std::vector<std::string> words_of(const Pace& pace);
/// "left 3 min".
std::string left_in_words(double seconds);

/// A generation's row with what is known of its stage: `stage_name`, `told` of `generations`, pace and
/// `seconds_left`. A run prints it and gives it to those who ask its queue.
nlohmann::json generation_json(nlohmann::json row, const std::string& stage, int64_t told,
                               int64_t generations, const Pace& pace);

/// generation_json in a line; what it lacks is left out. `goes_on`: with the time left.
std::string generation_line(const nlohmann::json& generation, bool goes_on);

/// A number of a row, where it has one of that name.
std::optional<double> number_of(const nlohmann::json& row, const char* key);

}  // namespace namm::experiments
