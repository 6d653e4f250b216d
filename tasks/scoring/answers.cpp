#include "tasks/scoring/answers.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "core/text.h"
#include "tasks/longbench_tasks.h"
#include "tasks/metrics/metric_list.h"
#include "tasks/scoring/summary.h"

namespace namm::tasks {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

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

std::optional<double> score_answer(const StoredAnswer& answer, const MetricOptions& options) {
  if (!answer.prediction) return std::nullopt;
  static const std::vector<Text> no_classes;
  if (answer.metric == "classification_score" && !answer.all_classes) {
    return std::nullopt;  // Python cannot walk None
  }
  const TextView text = answer.first_line ? first_line(*answer.prediction) : TextView(*answer.prediction);
  try {
    return best_score(answer.metric, text, answer.answers,
                      answer.all_classes ? *answer.all_classes : no_classes, options);
  } catch (const DataError& error) {
    throw DataError(format_text("{}: {}", answer.where, error.what()));
  }
}

StoredAnswer read_case(const JsonLinesReader& reader, const json& record) {
  StoredAnswer answer = read_answer(reader, record);
  const auto text = [&](const char* field) {
    const auto value = record.find(field);
    return value != record.end() && value->is_string() ? value->get<std::string>() : std::string();
  };
  answer.id = text("id");
  answer.metric = text("metric");
  if (answer.id.empty() || answer.metric.empty()) reader.fail("a case needs `id` and `metric`, both texts");
  const std::vector<std::string> known = metric_names();
  if (std::ranges::find(known, answer.metric) == known.end()) {
    reader.fail(format_text("metric '{}' is unknown; known are {}", answer.metric, join(known, ", ")));
  }
  const std::string post = text("post");
  if (!post.empty() && post != "none" && post != "first_line") {
    reader.fail("`post` must be \"none\" or \"first_line\"");
  }
  const LongBenchTask* task = find_longbench_task(text("dataset"));
  answer.first_line = post.empty() ? task && task->first_line : post == "first_line";
  return answer;
}

ordered_json score_metric_cases(const std::string& metric, const std::vector<StoredAnswer>& members,
                                const ScoreSettings& settings, DatasetScore dataset_score) {
  ordered_json entry;
  entry["dataset"] = nullptr;
  entry["metric"] = metric;
  report_dictionary(entry, metric, settings.metric);
  const Scores scores = score_answers(members, settings);
  const std::optional<std::vector<double>> present = all_present(scores);
  entry["score"] = present ? ordered_json(dataset_score(*present)) : ordered_json();
  report_raised(entry, scores);
  ordered_json& list = entry["cases"] = ordered_json::array();
  for (size_t i = 0; i < members.size(); ++i) {
    list.push_back({{"id", members[i].id}, {"score", to_json(scores[i])}});
  }
  return entry;
}

}  // namespace

StoredAnswer read_answer(const JsonLinesReader& reader, const json& record) {
  StoredAnswer answer;
  answer.where = reader.where();
  const auto prediction = record.find("pred");
  if (prediction == record.end()) reader.fail("the record lacks `pred`");
  if (prediction->is_string()) answer.prediction = decode_utf8(prediction->get_ref<const std::string&>());
  answer.answers = read_texts(reader, record, "answers");
  if (answer.answers.empty()) reader.fail("`answers` is an empty list, nothing could be right");
  if (record.contains("all_classes") && !record.at("all_classes").is_null()) {
    answer.all_classes = std::make_shared<const std::vector<Text>>(read_texts(reader, record, "all_classes"));
  }
  return answer;
}

void report_dictionary(ordered_json& entry, std::string_view metric, const MetricOptions& options) {
  const std::string dictionary = metric_dictionary(metric, options);
  if (!dictionary.empty()) entry["dictionary"] = dictionary;
}

Scores score_answers(const std::vector<StoredAnswer>& answers, const ScoreSettings& settings) {
  return score_in_parallel(answers.size(), settings.jobs,
                           [&](size_t i) { return score_answer(answers[i], settings.metric); });
}

void add_answer_cases(ordered_json& document, const std::filesystem::path& cases,
                      const ScoreSettings& settings, DatasetScore dataset_score) {
  SkippedRecords skipped;
  std::vector<std::string> metrics;  // in order of first appearance
  std::map<std::string, uint64_t> line_of_id;
  const std::vector<StoredAnswer> answers =
      read_records(cases, settings, skipped, [&](const JsonLinesReader& reader, const json& record) {
        StoredAnswer answer = read_case(reader, record);
        const auto [first, is_new] = line_of_id.try_emplace(answer.id, reader.line());
        if (!is_new) reader.fail(format_text("id '{}' stands in line {} already", answer.id, first->second));
        if (std::ranges::find(metrics, answer.metric) == metrics.end()) metrics.push_back(answer.metric);
        return answer;
      });
  if (answers.empty()) throw DataError(format_text("{}: holds no case", cases.string()));
  for (const std::string& metric : metrics) {
    std::vector<StoredAnswer> members;
    std::ranges::copy_if(answers, std::back_inserter(members),
                         [&](const auto& answer) { return answer.metric == metric; });
    document["datasets"].push_back(score_metric_cases(metric, members, settings, dataset_score));
  }
  report_skipped(document, skipped);
}

}  // namespace namm::tasks
