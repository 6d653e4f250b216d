#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/scoring/records.h"
#include "tasks/text/unicode.h"

/// Records of LongBench's form, which ChouBun took over: `pred`, `answers`, and what single data sets need
/// beside them.
namespace namm::tasks {

/// One stored answer and what to score it against.
struct StoredAnswer {
  std::string where;  ///< file:line
  std::string id;     ///< of a case
  std::string metric;
  bool first_line = false;
  std::optional<Text> prediction;  ///< none: not a text, every official function raises
  std::vector<Text> answers;
  std::shared_ptr<const std::vector<Text>> all_classes;  ///< may be null
  int64_t length = 0;
};

/// Reads `pred`, `answers` and `all_classes`. Throws DataError `file:line`.
StoredAnswer read_answer(const JsonLinesReader& reader, const nlohmann::json& record);

/// The official value of each answer's metric; null where the official function raises.
Scores score_answers(const std::vector<StoredAnswer>& answers, const ScoreSettings& settings);

/// Adds "dictionary", package and version, where the metric's values depend on one (metric_dictionary).
void report_dictionary(nlohmann::ordered_json& entry, std::string_view metric, const MetricOptions& options);

/// What the official script makes of a data set's scores, none of them missing and not empty.
using DatasetScore = double (*)(const std::vector<double>&);

/// Scores records that name their own metric, and adds one entry a metric to the document's "datasets", in
/// order of first appearance, with "cases": [{"id", "score"}] in file order. Throws DataError `file:line`,
/// also for an id that comes twice.
void add_answer_cases(nlohmann::ordered_json& document, const std::filesystem::path& cases,
                      const ScoreSettings& settings, DatasetScore dataset_score);

}  // namespace namm::tasks
