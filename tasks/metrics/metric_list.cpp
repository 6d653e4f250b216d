#include "tasks/metrics/metric_list.h"

#include <algorithm>
#include <array>

#include "core/errors.h"
#include "core/text.h"
#include "tasks/metrics/classification.h"
#include "tasks/metrics/retrieval.h"
#include "tasks/metrics/rouge_l.h"
#include "tasks/metrics/token_f1.h"

namespace namm::tasks {
namespace {

struct Input {
  TextView prediction, gold;
  const std::vector<Text>& all_classes;
  const MetricOptions& options;
};

struct Metric {
  std::string_view name;
  std::optional<double> (*function)(const Input&);  // null: needs word segmentation
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
    Metric{"qa_f1_zh_score", nullptr},
    Metric{"rouge_zh_score", nullptr},
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

std::string unsupported_reason(std::string_view metric) {
  if (find_metric(metric).function) return "";
  return format_text("{} needs Chinese word segmentation, not in this version", metric);
}

std::optional<double> best_score(std::string_view metric, TextView prediction,
                                 const std::vector<Text>& answers, const std::vector<Text>& all_classes,
                                 const MetricOptions& options) {
  const Metric& entry = find_metric(metric);
  if (!entry.function) throw ConfigError(unsupported_reason(metric));
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
