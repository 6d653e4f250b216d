#include "tasks/scoring.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <mutex>
#include <numeric>
#include <sstream>
#include <thread>

#include "core/errors.h"
#include "core/files.h"
#include "core/json_lines.h"
#include "core/text.h"
#include "tasks/longbench_tasks.h"
#include "tasks/text/python_json.h"

namespace namm::tasks {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* scorer_name = "THUDM/LongBench 2e00731f";

/// One stored answer and what to score it against.
struct StoredAnswer {
  std::string id;
  std::string metric;
  bool first_line = false;
  std::optional<Text> prediction;  // none: not a text, every official function raises
  std::vector<Text> answers;
  std::optional<std::vector<Text>> all_classes;
  int64_t length = 0;
};

JsonLinesReader open_records(const std::filesystem::path& path, const ScoreSettings& settings) {
  // Predictions are small next to the data they answer; the whole file is taken to mend what only Python
  // accepts.
  auto stream = std::make_unique<std::istringstream>(without_lone_surrogates(read_file(path)));
  return {std::move(stream), path.string(),
          settings.skip_bad_records ? BadRecords::skip : BadRecords::refuse};
}

std::vector<Text> read_texts(const JsonLinesReader& reader, const json& record, const char* field) {
  const auto list = record.find(field);
  if (list == record.end()) reader.fail(format_text("the record lacks `{}`", field));
  if (!list->is_array()) reader.fail(format_text("`{}` must be a list of texts", field));
  std::vector<Text> texts;
  for (const json& item : *list) {
    if (!item.is_string()) reader.fail(format_text("`{}` must be a list of texts", field));
    texts.push_back(decode_utf8(item.get_ref<const std::string&>()));
  }
  return texts;
}

StoredAnswer read_answer(const JsonLinesReader& reader, const json& record) {
  StoredAnswer answer;
  const auto prediction = record.find("pred");
  if (prediction == record.end()) reader.fail("the record lacks `pred`");
  if (prediction->is_string()) answer.prediction = decode_utf8(prediction->get_ref<const std::string&>());
  answer.answers = read_texts(reader, record, "answers");
  if (record.contains("all_classes") && !record.at("all_classes").is_null()) {
    answer.all_classes = read_texts(reader, record, "all_classes");
  }
  return answer;
}

/// Reads every record by `read`; a record that it refuses is left out when the settings say so.
std::vector<StoredAnswer> read_answers(
    JsonLinesReader reader, const ScoreSettings& settings, uint64_t& skipped,
    const std::function<StoredAnswer(const JsonLinesReader&, const json&)>& read) {
  std::vector<StoredAnswer> answers;
  uint64_t refused = 0;
  while (const std::optional<json> record = reader.next()) {
    try {
      answers.push_back(read(reader, *record));
    } catch (const DataError&) {
      if (!settings.skip_bad_records) throw;
      ++refused;
    }
  }
  skipped = reader.skipped() + refused;
  return answers;
}

std::optional<double> score_answer(const StoredAnswer& answer, const MetricOptions& options) {
  if (!answer.prediction) return std::nullopt;
  static const std::vector<Text> no_classes;
  if (answer.metric == "classification_score" && !answer.all_classes)
    return std::nullopt;  // Python cannot walk None
  const TextView text = answer.first_line ? first_line(*answer.prediction) : TextView(*answer.prediction);
  return best_score(answer.metric, text, answer.answers,
                    answer.all_classes ? *answer.all_classes : no_classes, options);
}

std::vector<std::optional<double>> score_all(const std::vector<StoredAnswer>& answers,
                                             const ScoreSettings& settings) {
  std::vector<std::optional<double>> scores(answers.size());
  std::atomic<size_t> next = 0;
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto work = [&] {
    try {
      for (size_t i; (i = next++) < answers.size();) scores[i] = score_answer(answers[i], settings.metric);
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      error = std::current_exception();
    }
  };
  const size_t threads = std::min(static_cast<size_t>(std::max(settings.jobs, 1)), answers.size());
  {
    std::vector<std::jthread> workers;
    for (size_t i = 1; i < threads; ++i) workers.emplace_back(work);
    work();
  }
  if (error) std::rethrow_exception(error);
  return scores;
}

ordered_json to_json(const std::optional<double>& score) {
  return score ? ordered_json(*score) : ordered_json();
}

ordered_json to_json(const std::vector<std::optional<double>>& scores) {
  ordered_json list = ordered_json::array();
  for (const auto& score : scores) list.push_back(to_json(score));
  return list;
}

/// The scores, if the official function raised nowhere.
std::optional<std::vector<double>> all_present(const std::vector<std::optional<double>>& scores) {
  std::vector<double> present;
  for (const auto& score : scores) {
    if (!score) return std::nullopt;
    present.push_back(*score);
  }
  return present;
}

std::optional<double> percentage_of(const std::vector<double>& scores) {
  return scores.empty() ? std::nullopt : std::optional(official_percentage(scores));
}

ordered_json bucket_scores(const std::vector<StoredAnswer>& answers, const std::vector<double>& scores) {
  static constexpr const char* bucket_names[] = {"0-4k", "4-8k", "8k+"};
  std::vector<double> members[3];
  for (size_t i = 0; i < scores.size(); ++i) {
    members[answers[i].length < 4000 ? 0 : answers[i].length < 8000 ? 1 : 2].push_back(scores[i]);
  }
  ordered_json result = ordered_json::object();
  for (size_t b = 0; b < 3; ++b) {
    result[bucket_names[b]] =
        members[b].empty() ? ordered_json() : ordered_json(official_bucket_percentage(members[b]));
  }
  return result;
}

std::optional<double> mean_percentage(const std::vector<double>& scores) {
  if (scores.empty()) return std::nullopt;
  return 100 * std::accumulate(scores.begin(), scores.end(), 0.0) / static_cast<double>(scores.size());
}

ordered_json score_dataset(const std::filesystem::path& path, const LongBenchTask& task,
                           const ScoreSettings& settings) {
  uint64_t skipped = 0;
  std::vector<StoredAnswer> answers =
      read_answers(open_records(path, settings), settings, skipped,
                   [&](const JsonLinesReader& reader, const json& record) {
                     StoredAnswer answer = read_answer(reader, record);
                     answer.metric = task.metric;
                     answer.first_line = task.first_line;
                     const auto length = record.find("length");
                     const bool has_length = length != record.end() && length->is_number_integer();
                     if (has_length) answer.length = length->get<int64_t>();
                     if (settings.buckets && !has_length)
                       reader.fail("buckets=true needs `length`, a whole number");
                     return answer;
                   });
  if (answers.empty()) throw DataError(format_text("{}: holds no prediction", path.string()));
  // The official script uses the class names of the file's last record for all.
  for (StoredAnswer& answer : answers) answer.all_classes = answers.back().all_classes;

  const std::vector<std::optional<double>> scores = score_all(answers, settings);
  const std::optional<std::vector<double>> present = all_present(scores);
  ordered_json entry;
  entry["dataset"] = task.name;
  entry["metric"] = task.metric;
  entry["post"] = task.first_line ? "first_line" : "none";
  if (!present) {
    entry["score"] = nullptr;
  } else {
    entry["score"] = settings.buckets ? bucket_scores(answers, *present) : to_json(percentage_of(*present));
  }
  entry["mean"] = present ? to_json(mean_percentage(*present)) : ordered_json();
  if (skipped > 0) entry["skipped_records"] = skipped;
  entry["samples"] = to_json(scores);
  return entry;
}

std::vector<std::filesystem::path> prediction_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() == ".jsonl") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

/// "trec" of "trec.jsonl"; the E variant's files may carry the data's own suffix.
const LongBenchTask* task_of(const std::string& name) {
  if (const LongBenchTask* task = find_longbench_task(name)) return task;
  return name.ends_with("_e") ? find_longbench_task(name.substr(0, name.size() - 2)) : nullptr;
}

ordered_json header(const ScoreSettings& settings) {
  ordered_json document;
  document["benchmark"] = "longbench";
  document["scorer"] = scorer_name;
  ordered_json& set = document["settings"];
  set["edit_similarity"] =
      settings.metric.edit_similarity == EditSimilarity::difflib ? "difflib" : "levenshtein";
  set["rouge_recursion_limit"] = settings.metric.rouge_recursion_limit
                                     ? ordered_json(*settings.metric.rouge_recursion_limit)
                                     : ordered_json("official");
  set["buckets"] = settings.buckets;
  document["datasets"] = ordered_json::array();
  return document;
}

bool parse_bool(const std::string& key, const std::string& value) {
  if (value == "true") return true;
  if (value == "false") return false;
  throw ConfigError(format_text("--set {}={}: must be true or false", key, value));
}

double pairwise_sum(const double* values, size_t n) {
  if (n < 8) return std::accumulate(values, values + n, 0.0);
  if (n <= 128) {
    double sums[8];
    std::copy(values, values + 8, sums);
    size_t i = 8;
    for (; i < n - n % 8; i += 8) {
      for (size_t j = 0; j < 8; ++j) sums[j] += values[i + j];
    }
    double total = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    for (; i < n; ++i) total += values[i];
    return total;
  }
  const size_t half = n / 2 - (n / 2) % 8;
  return pairwise_sum(values, half) + pairwise_sum(values + half, n - half);
}

}  // namespace

ScoreSettings parse_score_settings(const std::vector<std::string>& assignments) {
  ScoreSettings settings;
  for (const std::string& assignment : assignments) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos)
      throw ConfigError(format_text("--set {}: must be key=value", assignment));
    const std::string key = assignment.substr(0, equals), value = assignment.substr(equals + 1);
    if (key == "edit_similarity") {
      settings.metric.edit_similarity = parse_edit_similarity(value);
    } else if (key == "buckets") {
      settings.buckets = parse_bool(key, value);
    } else if (key == "skip_bad_records") {
      settings.skip_bad_records = parse_bool(key, value);
    } else if (key == "rouge_recursion_limit") {
      int64_t limit = -1;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), limit);
      if (error != std::errc() || end != value.data() + value.size() || limit < 0) {
        throw ConfigError(format_text("--set {}={}: must be a whole number from 0 (no limit)", key, value));
      }
      settings.metric.rouge_recursion_limit = limit;
    } else {
      throw ConfigError(
          format_text("--set {}: unknown key; longbench knows edit_similarity (difflib, levenshtein), "
                      "rouge_recursion_limit (a number), buckets and skip_bad_records (true, false)",
                      key));
    }
  }
  return settings;
}

void require_scorable(const std::string& benchmark) {
  if (benchmark != "longbench") {
    throw ConfigError(format_text("--benchmark {}: this version scores longbench only", benchmark));
  }
}

ordered_json score_longbench(const std::filesystem::path& predictions,
                             const std::optional<std::string>& dataset, const ScoreSettings& settings) {
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(predictions, ignored);
  if (!is_folder && !std::filesystem::is_regular_file(predictions, ignored)) {
    throw DataError(format_text("{}: no such file or folder", predictions.string()));
  }
  if (dataset && !task_of(*dataset)) {
    std::vector<std::string> names;
    for (const LongBenchTask& task : longbench_tasks()) names.emplace_back(task.name);
    throw ConfigError(
        format_text("--dataset {}: not in LongBench; its data sets are {}", *dataset, join(names, ", ")));
  }

  std::vector<std::filesystem::path> files;
  if (is_folder && dataset) {
    files = {predictions / (*dataset + ".jsonl")};
    if (!std::filesystem::is_regular_file(files.front(), ignored)) {
      throw DataError(format_text("{}: no such file", files.front().string()));
    }
  } else {
    files = is_folder ? prediction_files(predictions) : std::vector{predictions};
  }
  const bool is_single = files.size() == 1 && (dataset || !is_folder);

  ordered_json document = header(settings);
  ordered_json skipped = ordered_json::array();
  for (const std::filesystem::path& file : files) {
    const std::string name = dataset.value_or(file.stem().string());
    const LongBenchTask* task = task_of(name);
    const std::string reason =
        task ? unsupported_reason(task->metric) : "no LongBench data set has this name";
    if (reason.empty()) {
      document["datasets"].push_back(score_dataset(file, *task, settings));
    } else if (is_single) {
      throw ConfigError(
          format_text("{}: {}{}", file.string(), reason, task ? "" : "; name it with --dataset"));
    } else {
      skipped.push_back({{"dataset", name},
                         {"metric", task ? ordered_json(task->metric) : ordered_json()},
                         {"reason", reason}});
    }
  }
  if (document["datasets"].empty() && skipped.empty()) {
    throw DataError(format_text("{}: no .jsonl file in this folder", predictions.string()));
  }
  document["skipped"] = std::move(skipped);
  return document;
}

ordered_json score_cases(const std::filesystem::path& cases, const ScoreSettings& settings) {
  uint64_t skipped = 0;
  std::vector<std::string> metrics;  // in order of first appearance
  const std::vector<std::string> known = metric_names();
  std::vector<StoredAnswer> answers = read_answers(
      open_records(cases, settings), settings, skipped,
      [&](const JsonLinesReader& reader, const json& record) {
        StoredAnswer answer = read_answer(reader, record);
        const auto text = [&](const char* field) {
          const auto value = record.find(field);
          return value != record.end() && value->is_string() ? value->get<std::string>() : std::string();
        };
        answer.id = text("id");
        answer.metric = text("metric");
        if (answer.id.empty() || answer.metric.empty())
          reader.fail("a case needs `id` and `metric`, both texts");
        if (std::ranges::find(known, answer.metric) == known.end()) {
          reader.fail(format_text("metric '{}' is unknown; known are {}", answer.metric, join(known, ", ")));
        }
        const std::string post = text("post");
        if (!post.empty() && post != "none" && post != "first_line")
          reader.fail("`post` must be \"none\" or \"first_line\"");
        const LongBenchTask* task = find_longbench_task(text("dataset"));
        answer.first_line = post.empty() ? task && task->first_line : post == "first_line";
        if (std::ranges::find(metrics, answer.metric) == metrics.end()) metrics.push_back(answer.metric);
        return answer;
      });
  if (answers.empty()) throw DataError(format_text("{}: holds no case", cases.string()));

  ordered_json document = header(settings);
  for (const std::string& metric : metrics) {
    std::vector<StoredAnswer> members;
    std::ranges::copy_if(answers, std::back_inserter(members),
                         [&](const auto& answer) { return answer.metric == metric; });
    ordered_json entry;
    entry["dataset"] = nullptr;
    entry["metric"] = metric;
    std::vector<std::optional<double>> scores(members.size());
    const std::string reason = unsupported_reason(metric);
    if (reason.empty()) {
      scores = score_all(members, settings);
      const std::optional<std::vector<double>> present = all_present(scores);
      entry["score"] = present ? to_json(percentage_of(*present)) : ordered_json();
    } else {
      entry["score"] = nullptr;
      entry["skipped"] = reason;
    }
    ordered_json& list = entry["cases"] = ordered_json::array();
    for (size_t i = 0; i < members.size(); ++i)
      list.push_back({{"id", members[i].id}, {"score", to_json(scores[i])}});
    document["datasets"].push_back(std::move(entry));
  }
  if (skipped > 0) document["skipped_records"] = skipped;
  return document;
}

double official_percentage(const std::vector<double>& scores) {
  const double total = std::accumulate(scores.begin(), scores.end(), 0.0);
  // Python's round(x, 2) is the decimal nearest to the exact binary value, which is what printing with two
  // digits gives.
  char text[64];
  std::snprintf(text, sizeof text, "%.2f", 100 * total / static_cast<double>(scores.size()));
  return std::strtod(text, nullptr);
}

double official_bucket_percentage(const std::vector<double>& scores) {
  const double mean = pairwise_sum(scores.data(), scores.size()) / static_cast<double>(scores.size());
  return std::nearbyint(100 * mean * 100) / 100;
}

}  // namespace namm::tasks
