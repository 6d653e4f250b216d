#include "tasks/scoring/data_sets.h"

#include "core/errors.h"
#include "core/text.h"

namespace namm::tasks {

using nlohmann::ordered_json;

void score_data_sets(ordered_json& document, const std::filesystem::path& predictions,
                     const std::optional<std::string>& dataset, const DataSetScorer& scorer) {
  const std::string known = join(scorer.names, ", ");
  if (dataset && !scorer.knows(*dataset)) {
    throw ConfigError(format_text("--dataset {}: not in {}; its {}s are {}", *dataset, scorer.benchmark,
                                  scorer.kind, known));
  }
  const std::string reason = format_text("no {} {} has this name", scorer.benchmark, scorer.kind);
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(predictions, ignored);
  ordered_json skipped = ordered_json::array();
  for (const PredictionFile& file : prediction_files(predictions, dataset, scorer.prefix)) {
    if (scorer.knows(file.dataset)) {
      document["datasets"].push_back(scorer.score(file));
    } else if (is_folder) {
      skipped.push_back({{"dataset", file.dataset}, {"metric", nullptr}, {"reason", reason}});
    } else {
      throw ConfigError(
          format_text("{}: {}; name it with --dataset ({})", file.path.string(), reason, known));
    }
  }
  document["skipped"] = std::move(skipped);
}

}  // namespace namm::tasks
