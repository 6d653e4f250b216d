#include "experiments/generation_line.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/text.h"

namespace namm::experiments {

namespace {

double rounded(double value, double steps) {
  return std::round(value * steps) / steps;
}

std::string place_of(const nlohmann::json& generation) {
  const auto name = generation.find("stage_name");
  std::string text = name != generation.end() && name->is_string() ? name->get<std::string>() + ": " : "";
  const auto told = number_of(generation, "told");
  const auto generations = number_of(generation, "generations");
  if (told && generations) return text + format_text("generation {} of {}", *told, *generations);
  // A row alone: generations are counted through all stages of a run, from 0.
  const auto number = number_of(generation, "generation");
  return text + (number ? format_text("{} generations of the run", *number + 1) : "a generation");
}

}  // namespace

std::optional<double> number_of(const nlohmann::json& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_number() ? std::optional(found->get<double>()) : std::nullopt;
}

GenerationScores scores_of(const nlohmann::json& row) {
  return {number_of(row, "best"), number_of(row, "mean"), number_of(row, "sigma"),
          number_of(row, "cache_fraction"), number_of(row, "validation")};
}

std::vector<std::string> words_of(const GenerationScores& scores) {
  std::vector<std::string> words;
  const auto add = [&](const char* name, const std::optional<double>& value) {
    if (value) words.push_back(format_text("{} {}", name, rounded(*value, 1e4)));
  };
  add("best", scores.best);
  add("mean", scores.mean);
  add("sigma", scores.sigma);
  if (scores.cache_fraction)
    words.push_back(format_text("cache {} %", rounded(100 * *scores.cache_fraction, 10)));
  add("validation", scores.validation);
  return words;
}

std::vector<nlohmann::json> rows_of_stage(const std::vector<nlohmann::json>& rows, int64_t stage) {
  std::vector<nlohmann::json> own;
  std::ranges::copy_if(rows, std::back_inserter(own), [&](const nlohmann::json& row) {
    return row.is_object() && number_of(row, "stage") == static_cast<double>(stage);
  });
  return own;
}

Pace pace_of(const std::vector<nlohmann::json>& rows) {
  const auto recent = std::min<size_t>(rows.size(), Pace::kRecent);
  if (recent == 0) return {};
  double seconds = 0;
  double evaluations = 0;
  for (auto row = rows.end() - static_cast<std::ptrdiff_t>(recent); row != rows.end(); ++row) {
    seconds += number_of(*row, "seconds").value_or(0);
    evaluations += number_of(*row, "evaluations").value_or(0);
  }
  return {seconds / static_cast<double>(recent), seconds > 0 ? evaluations / seconds : 0};
}

std::vector<std::string> words_of(const Pace& pace) {
  if (!(pace.seconds_per_generation > 0)) return {};
  return {format_text("{} a generation", format_seconds(pace.seconds_per_generation)),
          format_text("{} evaluations/s", rounded(pace.evaluations_per_second, 10))};
}

std::string left_in_words(double seconds) {
  return "left " + format_seconds(seconds);
}

nlohmann::json generation_json(nlohmann::json row, const std::string& stage, int64_t told,
                               int64_t generations, const Pace& pace) {
  row["stage_name"] = stage;
  row["told"] = told;
  row["generations"] = generations;
  row["seconds_per_generation"] = pace.seconds_per_generation;
  row["evaluations_per_second"] = pace.evaluations_per_second;
  row["seconds_left"] =
      pace.seconds_per_generation * static_cast<double>(std::max<int64_t>(0, generations - told));
  return row;
}

std::string generation_line(const nlohmann::json& generation, bool goes_on) {
  std::vector<std::string> words{place_of(generation)};
  const auto append = [&](const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
  };
  append(words_of(scores_of(generation)));
  append(words_of(Pace{number_of(generation, "seconds_per_generation").value_or(0),
                       number_of(generation, "evaluations_per_second").value_or(0)}));
  const auto count = [&](const char* key, const char* of, bool shown_at_zero) {
    const auto value = number_of(generation, key);
    if (value && (shown_at_zero || *value > 0)) words.push_back(format_text("{} {}", *value, of));
  };
  count("workers", "worker threads", true);
  count("reissued", "items handed out again", false);
  count("non_finite", "members without a fitness", false);
  const auto left = number_of(generation, "seconds_left");
  if (goes_on && left && *left > 0) words.push_back(left_in_words(*left));
  return join(words, ", ");
}

}  // namespace namm::experiments
