#include "tasks/scoring/score_infinitebench.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/errors.h"
#include "core/text.h"
#include "tasks/scoring/data_sets.h"
#include "tasks/scoring/summary.h"

namespace namm::tasks {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

struct LabelledAnswer {
  ordered_json id;
  std::string task;
  std::string model_name;
  std::optional<Text> prediction;  ///< none: not a text, every official function raises
  json ground_truth;
};

/// Refuses what the official functions would give a value for that we could only guess.
void check_ground_truth(const JsonLinesReader& reader, const char* key, const json& value) {
  if (value.is_object()) reader.fail(format_text("`{}` must be a text, a number or a list of them", key));
  if (value.is_array() && value.empty()) {
    reader.fail(format_text("`{}` is an empty list, nothing could be right", key));
  }
  constexpr double past_int64 = 9223372036854775808.0;
  if (value.is_number_float() && std::abs(value.get<double>()) >= past_int64) {
    reader.fail(format_text("`{}` holds a number past 64 bits", key));
  }
  if (!value.is_array()) return;
  for (const json& item : value) check_ground_truth(reader, key, item);
}

std::optional<Text> read_prediction(const JsonLinesReader& reader, const json& record) {
  for (const char* key : {"prediction", "pred"}) {
    const auto value = record.find(key);
    if (value == record.end()) continue;
    if (!value->is_string()) return std::nullopt;
    return decode_utf8(value->get_ref<const std::string&>());
  }
  reader.fail("the record lacks `prediction` (or `pred`)");
}

/// Remembers ids; the official scorer would count a record that comes twice two times.
class SeenIds {
 public:
  void add(const JsonLinesReader& reader, const ordered_json& id) {
    const auto [first, is_new] = line_of_.try_emplace(id.dump(), reader.line());
    if (!is_new) reader.fail(format_text("id {} stands in line {} already", id.dump(), first->second));
  }

 private:
  std::map<std::string, uint64_t> line_of_;
};

std::vector<LabelledAnswer> read_answers(const std::filesystem::path& path, const ScoreSettings& settings,
                                         SkippedRecords& skipped) {
  const char* label_key = nullptr;  // by the first record
  SeenIds ids;
  return read_records(path, settings, skipped, [&](const JsonLinesReader& reader, const json& record) {
    LabelledAnswer answer;
    answer.prediction = read_prediction(reader, record);
    answer.model_name = settings.infinitebench.model_name;
    const char* key = label_key;
    if (!key) key = record.contains("ground_truth") ? "ground_truth" : "label";
    if (record.contains(key)) {
      answer.ground_truth = record.at(key);
      check_ground_truth(reader, key, answer.ground_truth);
    } else if (label_key) {
      answer.ground_truth = "XXXXXXXXXX";
    } else {
      reader.fail("the first record lacks `ground_truth` (or `label`)");
    }
    if (record.contains("id")) ids.add(reader, record.at("id"));
    label_key = key;
    return answer;
  });
}

Scores score_answers(const std::vector<LabelledAnswer>& answers, const std::string& task,
                     const ScoreSettings& settings) {
  return score_in_parallel(answers.size(), settings.jobs, [&](size_t i) -> std::optional<double> {
    const LabelledAnswer& answer = answers[i];
    if (!answer.prediction) return std::nullopt;
    return infinitebench_score(task, *answer.prediction, answer.ground_truth,
                               {settings.infinitebench.scorer, answer.model_name});
  });
}

ordered_json entry_of(const ordered_json& dataset, const std::string& task, const Scores& scores) {
  const std::optional<std::vector<double>> present = all_present(scores);
  ordered_json entry;
  entry["dataset"] = dataset;
  entry["metric"] = "get_score_one_" + task;
  entry["score"] = present ? to_json(mean(*present)) : ordered_json();
  report_raised(entry, scores);
  return entry;
}

ordered_json header(const ScoreSettings& settings) {
  const InfiniteBenchOptions& options = settings.infinitebench;
  ordered_json document;
  document["benchmark"] = "infinitebench";
  document["scorer"] = options.scorer == InfiniteBenchScorer::june_2024 ? "OpenBMB/InfiniteBench 88b3daa6"
                                                                        : "OpenBMB/InfiniteBench ae04ef16";
  document["settings"]["scorer"] = name_of(options.scorer);
  document["settings"]["model_name"] = options.model_name;
  document["datasets"] = ordered_json::array();
  return document;
}

bool is_task(const std::string& name) {
  return std::ranges::count(infinitebench_rules(), name) > 0;
}

ordered_json score_dataset(const PredictionFile& file, const ScoreSettings& settings) {
  SkippedRecords skipped;
  const std::vector<LabelledAnswer> answers = read_answers(file.path, settings, skipped);
  if (answers.empty()) throw DataError(format_text("{}: holds no prediction", file.path.string()));
  check_count(file.path, file.dataset, answers.size() + skipped.count, settings);
  const Scores scores = score_answers(answers, file.dataset, settings);
  ordered_json entry = entry_of(file.dataset, file.dataset, scores);
  report_skipped(entry, skipped);
  entry["samples"] = to_json(scores);
  return entry;
}

}  // namespace

ordered_json score_infinitebench(const std::filesystem::path& predictions,
                                 const std::optional<std::string>& dataset, const ScoreSettings& settings) {
  ordered_json document = header(settings);
  score_data_sets(document, predictions, dataset,
                  {.benchmark = "InfiniteBench",
                   .kind = "task",
                   .names = infinitebench_rules(),
                   .prefix = "preds_",
                   .knows = is_task,
                   .score = [&](const PredictionFile& file) { return score_dataset(file, settings); }});
  return document;
}

ordered_json score_infinitebench_cases(const std::filesystem::path& cases, const ScoreSettings& settings) {
  SkippedRecords skipped;
  SeenIds ids;
  std::vector<std::string> tasks;  // in order of first appearance
  const std::vector<LabelledAnswer> answers =
      read_records(cases, settings, skipped, [&](const JsonLinesReader& reader, const json& record) {
        for (const char* key : {"id", "task", "ground_truth"}) {
          if (!record.contains(key)) reader.fail(format_text("the record lacks `{}`", key));
        }
        LabelledAnswer answer;
        answer.id = record.at("id");
        answer.task = record.at("task").is_string() ? record.at("task").get<std::string>() : "";
        if (!is_task(answer.task)) {
          reader.fail(format_text("`task` must be one of {}", join(infinitebench_rules(), ", ")));
        }
        answer.model_name = settings.infinitebench.model_name;
        if (const auto name = record.find("model_name"); name != record.end()) {
          if (!name->is_string()) reader.fail("`model_name` must be a text");
          answer.model_name = name->get<std::string>();
        }
        answer.prediction = read_prediction(reader, record);
        answer.ground_truth = record.at("ground_truth");
        check_ground_truth(reader, "ground_truth", answer.ground_truth);
        ids.add(reader, answer.id);
        if (std::ranges::find(tasks, answer.task) == tasks.end()) tasks.push_back(answer.task);
        return answer;
      });
  if (answers.empty()) throw DataError(format_text("{}: holds no case", cases.string()));
  ordered_json document = header(settings);
  for (const std::string& task : tasks) {
    std::vector<LabelledAnswer> members;
    std::ranges::copy_if(answers, std::back_inserter(members),
                         [&](const auto& answer) { return answer.task == task; });
    const Scores scores = score_answers(members, task, settings);
    ordered_json entry = entry_of(nullptr, task, scores);
    ordered_json& list = entry["cases"] = ordered_json::array();
    for (size_t i = 0; i < members.size(); ++i) {
      list.push_back({{"id", members[i].id}, {"score", to_json(scores[i])}});
    }
    document["datasets"].push_back(std::move(entry));
  }
  report_skipped(document, skipped);
  return document;
}

}  // namespace namm::tasks
