#include "tasks/scoring/score_longbench.h"

#include "core/errors.h"
#include "core/text.h"
#include "tasks/longbench_tasks.h"
#include "tasks/scoring/answers.h"
#include "tasks/scoring/data_sets.h"
#include "tasks/scoring/summary.h"

namespace namm::tasks {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* scorer_name = "THUDM/LongBench 2e00731f";

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

ordered_json score_dataset(const std::filesystem::path& path, const std::string& dataset,
                           const LongBenchTask& task, const ScoreSettings& settings) {
  SkippedRecords skipped;
  std::vector<StoredAnswer> answers =
      read_records(path, settings, skipped, [&](const JsonLinesReader& reader, const json& record) {
        StoredAnswer answer = read_answer(reader, record);
        answer.metric = task.metric;
        answer.first_line = task.first_line;
        const auto length = record.find("length");
        const bool has_length = length != record.end() && length->is_number_integer();
        if (has_length) answer.length = length->get<int64_t>();
        if (settings.buckets && !has_length) reader.fail("buckets=true needs `length`, a whole number");
        return answer;
      });
  if (answers.empty()) throw DataError(format_text("{}: holds no prediction", path.string()));
  check_count(path, dataset, answers.size() + skipped.count, settings);
  // The official script uses the class names of the file's last record for all.
  for (StoredAnswer& answer : answers) answer.all_classes = answers.back().all_classes;

  const Scores scores = score_answers(answers, settings);
  const std::optional<std::vector<double>> present = all_present(scores);
  ordered_json entry;
  entry["dataset"] = task.name;
  entry["metric"] = task.metric;
  report_dictionary(entry, task.metric, settings.metric);
  entry["post"] = task.first_line ? "first_line" : "none";
  if (!present) {
    entry["score"] = nullptr;
  } else {
    entry["score"] =
        settings.buckets ? bucket_scores(answers, *present) : ordered_json(official_percentage(*present));
  }
  entry["mean"] = present ? ordered_json(mean_percentage(*present)) : ordered_json();
  report_raised(entry, scores);
  report_skipped(entry, skipped);
  entry["samples"] = to_json(scores);
  return entry;
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

}  // namespace

ordered_json score_longbench(const std::filesystem::path& predictions,
                             const std::optional<std::string>& dataset, const ScoreSettings& settings) {
  std::vector<std::string> names;
  for (const LongBenchTask& task : longbench_tasks()) names.emplace_back(task.name);
  ordered_json document = header(settings);
  score_data_sets(document, predictions, dataset,
                  {.benchmark = "LongBench",
                   .names = std::move(names),
                   .prefix = "",
                   .knows = [](const std::string& name) { return task_of(name) != nullptr; },
                   .score =
                       [&](const PredictionFile& file) {
                         return score_dataset(file.path, file.dataset, *task_of(file.dataset), settings);
                       }});
  return document;
}

ordered_json score_longbench_cases(const std::filesystem::path& cases, const ScoreSettings& settings) {
  ordered_json document = header(settings);
  add_answer_cases(document, cases, settings, official_percentage);
  return document;
}

}  // namespace namm::tasks
