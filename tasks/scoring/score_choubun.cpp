#include "tasks/scoring/score_choubun.h"

#include "core/errors.h"
#include "core/text.h"
#include "tasks/choubun.h"
#include "tasks/scoring/answers.h"
#include "tasks/scoring/data_sets.h"
#include "tasks/scoring/summary.h"

namespace namm::tasks {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* scorer_name = "SakanaAI/evo-memory 3a0a6bd6";

ordered_json score_dataset(const PredictionFile& file, const LongBenchTask& task,
                           const ScoreSettings& settings) {
  SkippedRecords skipped;
  const std::vector<StoredAnswer> answers =
      read_records(file.path, settings, skipped, [&](const JsonLinesReader& reader, const json& record) {
        StoredAnswer answer = read_answer(reader, record);
        answer.metric = task.metric;
        return answer;
      });
  if (answers.empty()) throw DataError(format_text("{}: holds no prediction", file.path.string()));
  check_count(file.path, file.dataset, answers.size() + skipped.count, settings);

  const Scores scores = score_answers(answers, settings);
  const std::optional<std::vector<double>> present = all_present(scores);
  ordered_json entry;
  entry["dataset"] = task.name;
  entry["metric"] = task.metric;
  entry["score"] = present ? ordered_json(mean_percentage(*present)) : ordered_json();
  report_raised(entry, scores);
  report_skipped(entry, skipped);
  entry["samples"] = to_json(scores);
  return entry;
}

ordered_json header(const ScoreSettings& settings) {
  ordered_json document;
  document["benchmark"] = "choubun";
  document["scorer"] = scorer_name;
  document["dictionary"] = metric_dictionary("qa_f1_ja_score", settings.metric);
  document["settings"]["rouge_recursion_limit"] = settings.metric.rouge_recursion_limit
                                                      ? ordered_json(*settings.metric.rouge_recursion_limit)
                                                      : ordered_json("official");
  document["datasets"] = ordered_json::array();
  return document;
}

}  // namespace

ordered_json score_choubun(const std::filesystem::path& predictions,
                           const std::optional<std::string>& dataset, const ScoreSettings& settings) {
  std::vector<std::string> names;
  for (const LongBenchTask& task : choubun_tasks()) names.emplace_back(task.name);
  ordered_json document = header(settings);
  score_data_sets(document, predictions, dataset,
                  {.benchmark = "ChouBun",
                   .names = std::move(names),
                   .prefix = "",
                   .knows = [](const std::string& name) { return find_choubun_task(name) != nullptr; },
                   .score =
                       [&](const PredictionFile& file) {
                         return score_dataset(file, *find_choubun_task(file.dataset), settings);
                       }});
  return document;
}

ordered_json score_choubun_cases(const std::filesystem::path& cases, const ScoreSettings& settings) {
  ordered_json document = header(settings);
  add_answer_cases(document, cases, settings, mean_percentage);
  return document;
}

}  // namespace namm::tasks
