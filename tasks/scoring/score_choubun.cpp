#include "tasks/scoring/score_choubun.h"

#include <algorithm>

#include "core/errors.h"
#include "core/text.h"
#include "tasks/choubun.h"
#include "tasks/scoring/answers.h"
#include "tasks/scoring/summary.h"

namespace namm::tasks {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* scorer_name = "SakanaAI/evo-memory 3a0a6bd6";

const LongBenchTask* task_of(std::string_view name) {
  const std::span<const LongBenchTask> tasks = choubun_tasks();
  const auto found = std::ranges::find(tasks, name, &LongBenchTask::name);
  return found == tasks.end() ? nullptr : &*found;
}

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
  if (dataset && !task_of(*dataset)) {
    throw ConfigError(
        format_text("--dataset {}: not in ChouBun; its data sets are {}", *dataset, join(names, ", ")));
  }
  std::error_code ignored;
  const bool is_single = dataset || !std::filesystem::is_directory(predictions, ignored);
  ordered_json document = header(settings);
  ordered_json skipped = ordered_json::array();
  for (const PredictionFile& file : prediction_files(predictions, dataset, "")) {
    const LongBenchTask* task = task_of(file.dataset);
    const char* reason = "no ChouBun data set has this name";
    if (task) {
      document["datasets"].push_back(score_dataset(file, *task, settings));
    } else if (is_single) {
      throw ConfigError(
          format_text("{}: {}; name it with --dataset ({})", file.path.string(), reason, join(names, ", ")));
    } else {
      skipped.push_back({{"dataset", file.dataset}, {"metric", nullptr}, {"reason", reason}});
    }
  }
  document["skipped"] = std::move(skipped);
  return document;
}

ordered_json score_choubun_cases(const std::filesystem::path& cases, const ScoreSettings& settings) {
  ordered_json document = header(settings);
  add_answer_cases(document, cases, settings, mean_percentage);
  return document;
}

}  // namespace namm::tasks
