#include "tasks/metrics/metric_list.h"

#include <algorithm>
#include <array>

#include "core/errors.h"
#include "core/text.h"
#include "tasks/metrics/classification.h"
#include "tasks/metrics/retrieval.h"
#include "tasks/metrics/rouge_l.h"
#include "tasks/metrics/segmented.h"
#include "tasks/metrics/token_f1.h"
#include "tasks/text/python_json.h"

namespace namm::tasks {
namespace {

struct Input {
  TextView prediction, gold;
  const std::vector<Text>& all_classes;
  const MetricOptions& options;
};

enum class Words : uint8_t { chinese, japanese };

const Segmenters& segmenters(const MetricOptions& options) {
  static const Segmenters none("");  // says what is missing
  return options.segmenters ? *options.segmenters : none;
}

std::vector<TextView> cut(TextView text, Words language, const MetricOptions& options) {
  return language == Words::chinese ? segmenters(options).chinese().cut(text)
                                    : segmenters(options).japanese().cut(text);
}

template <Words language>
std::optional<double> segmented_f1_of(const Input& in) {
  // fugashi encodes its input, which Python refuses for half a surrogate pair.
  if (language == Words::japanese && (has_lone_surrogate(in.prediction) || has_lone_surrogate(in.gold)))
    return std::nullopt;
  return segmented_f1(cut(in.prediction, language, in.options), cut(in.gold, language, in.options));
}

template <Words language>
std::optional<double> segmented_rouge_of(const Input& in) {
  if (language == Words::japanese && (has_lone_surrogate(in.prediction) || has_lone_surrogate(in.gold)))
    return std::nullopt;
  const int64_t limit = in.options.rouge_recursion_limit.value_or(official_rouge_recursion_limit_segmented);
  return segmented_rouge(cut(in.prediction, language, in.options), cut(in.gold, language, in.options), limit);
}

struct Metric {
  std::string_view name;
  std::optional<double> (*function)(const Input&);
  std::optional<Words> words = {};  ///< of which language its value depends on a dictionary
};

constexpr std::array all_metrics = {
    Metric{"qa_f1_score", [](const Input& in) { return std::optional(qa_f1(in.prediction, in.gold)); }},
    Metric{"rouge_score",
           [](const Input& in) {
             const int64_t limit = in.options.rouge_recursion_limit.value_or(official_rouge_recursion_limit);
             return std::optional(rouge_l(in.prediction, in.gold, limit));
           }},
    Metric{"classification_score",
           [](const Input& in) {
             return std::optional(classification(in.prediction, in.gold, in.all_classes));
           }},
    Metric{"retrieval_score",
           [](const Input& in) { return retrieval(in.prediction, in.gold, english_paragraph_marker); }},
    Metric{"retrieval_zh_score",
           [](const Input& in) { return retrieval(in.prediction, in.gold, chinese_paragraph_marker); }},
    Metric{"count_score",
           [](const Input& in) { return std::optional(number_share(in.prediction, in.gold)); }},
    Metric{"code_sim_score",
           [](const Input& in) {
             return std::optional(code_similarity(in.prediction, in.gold, in.options.edit_similarity));
           }},
    Metric{"qa_f1_zh_score", segmented_f1_of<Words::chinese>, Words::chinese},
    Metric{"rouge_zh_score", segmented_rouge_of<Words::chinese>, Words::chinese},
    Metric{"qa_f1_ja_score", segmented_f1_of<Words::japanese>, Words::japanese},
    Metric{"rouge_ja_score", segmented_rouge_of<Words::japanese>, Words::japanese},
};

const Metric& find_metric(std::string_view name) {
  const auto found = std::ranges::find(all_metrics, name, &Metric::name);
  if (found == all_metrics.end()) {
    throw ConfigError(format_text("metric '{}' is unknown; known are {}", name, join(metric_names(), ", ")));
  }
  return *found;
}

}  // namespace

EditSimilarity parse_edit_similarity(std::string_view name) {
  if (name == "difflib") return EditSimilarity::difflib;
  if (name == "levenshtein") return EditSimilarity::levenshtein;
  throw ConfigError(format_text("edit_similarity = {}: must be difflib or levenshtein", name));
}

std::vector<std::string> metric_names() {
  std::vector<std::string> names;
  for (const Metric& metric : all_metrics) names.emplace_back(metric.name);
  return names;
}

std::string metric_dictionary(std::string_view metric, const MetricOptions& options) {
  const std::optional<Words> words = find_metric(metric).words;
  if (!words) return "";
  return *words == Words::chinese ? segmenters(options).chinese_name() : segmenters(options).japanese_name();
}

std::optional<double> best_score(std::string_view metric, TextView prediction,
                                 const std::vector<Text>& answers, const std::vector<Text>& all_classes,
                                 const MetricOptions& options) {
  const Metric& entry = find_metric(metric);
  double best = 0;
  for (const Text& answer : answers) {
    const std::optional<double> score = entry.function({prediction, answer, all_classes, options});
    if (!score) return std::nullopt;
    best = std::max(best, *score);
  }
  return best;
}

TextView first_line(TextView prediction) {
  const TextView text = without_leading_newlines(prediction);
  return text.substr(0, text.find(U'\n'));
}

}  // namespace namm::tasks
