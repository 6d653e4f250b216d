#include "tasks/scoring/settings.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/errors.h"
#include "core/text.h"

namespace namm::tasks {
namespace {

bool parse_bool(const std::string& value) {
  if (value == "true") return true;
  if (value == "false") return false;
  throw ConfigError("must be true or false");
}

int64_t parse_step_limit(const std::string& value) {
  int64_t limit = -1;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), limit);
  if (error != std::errc() || end != value.data() + value.size() || limit < 0) {
    throw ConfigError("must be a whole number from 0 (no limit)");
  }
  return limit;
}

struct Setting {
  std::string_view key;
  std::string_view values;      ///< for people
  std::string_view benchmarks;  ///< names between blanks
  void (*set)(ScoreSettings&, const std::string& value);
};

constexpr std::array all_settings = {
    Setting{
        "edit_similarity", "difflib, levenshtein", "longbench",
        [](ScoreSettings& s, const std::string& v) { s.metric.edit_similarity = parse_edit_similarity(v); }},
    Setting{
        "rouge_recursion_limit", "a number, 0: none", "longbench choubun",
        [](ScoreSettings& s, const std::string& v) { s.metric.rouge_recursion_limit = parse_step_limit(v); }},
    Setting{"buckets", "true, false", "longbench",
            [](ScoreSettings& s, const std::string& v) { s.buckets = parse_bool(v); }},
    Setting{"scorer", "2024-06, 2024-08", "infinitebench",
            [](ScoreSettings& s, const std::string& v) {
              s.infinitebench.scorer = parse_infinitebench_scorer(v);
            }},
    Setting{"model_name", "gpt4 or another", "infinitebench",
            [](ScoreSettings& s, const std::string& v) { s.infinitebench.model_name = v; }},
    Setting{"dictionaries", "a folder with jieba/ and unidic_lite/", "longbench choubun",
            [](ScoreSettings& s, const std::string& v) {
              s.metric.segmenters = std::make_shared<const Segmenters>(v);
            }},
    Setting{"skip_bad_records", "true, false", "longbench infinitebench choubun",
            [](ScoreSettings& s, const std::string& v) { s.skip_bad_records = parse_bool(v); }},
};

bool is_for(const Setting& setting, std::string_view benchmark) {
  const std::vector<std::string> names = namm::split(setting.benchmarks, ' ');
  return std::ranges::find(names, benchmark) != names.end();
}

std::string known_settings(std::string_view benchmark) {
  std::vector<std::string> known;
  for (const Setting& setting : all_settings) {
    if (is_for(setting, benchmark)) known.push_back(format_text("{} ({})", setting.key, setting.values));
  }
  return join(known, ", ");
}

}  // namespace

std::string describe_score_settings() {
  std::vector<std::string> texts;
  for (const Setting& setting : all_settings) {
    texts.push_back(format_text("{} ({}; {})", setting.key, setting.values,
                                join(namm::split(setting.benchmarks, ' '), ", ")));
  }
  return join(texts, ", ");
}

ScoreSettings parse_score_settings(std::string_view benchmark, const std::vector<std::string>& assignments) {
  ScoreSettings settings;
  for (const std::string& assignment : assignments) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos) {
      throw ConfigError(format_text("--set {}: must be key=value", assignment));
    }
    const std::string key = assignment.substr(0, equals), value = assignment.substr(equals + 1);
    const auto setting = std::ranges::find(all_settings, key, &Setting::key);
    if (setting == all_settings.end() || !is_for(*setting, benchmark)) {
      throw ConfigError(
          format_text("--set {}: unknown key; {} knows {}", key, benchmark, known_settings(benchmark)));
    }
    try {
      setting->set(settings, value);
    } catch (const ConfigError& error) {
      throw ConfigError(format_text("--set {}: {}", assignment, error.what()));
    }
  }
  return settings;
}

}  // namespace namm::tasks
