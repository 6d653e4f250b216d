#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/errors.h"
#include "core/json_lines.h"
#include "tasks/scoring/settings.h"

/// What the scorers of all benchmarks share: files of records in, scores of records out.
namespace namm::tasks {

/// Records that were refused and left out, with the texts of the errors.
struct SkippedRecords {
  uint64_t count = 0;
  std::vector<std::string> first_reasons;  ///< of the first few

  void add(const DataError& error);
};

/// A file of JSON lines as Python's json accepts it: lone surrogates are read (text/python_json.h), NaN is
/// refused. Throws DataError.
JsonLinesReader open_records(const std::filesystem::path& path);

/// Reads every record of the file by `read(reader, record)`, which may call reader.fail. A refused record
/// throws DataError `file:line: reason`, or is left out when the settings say so.
template <class Read>
auto read_records(const std::filesystem::path& path, const ScoreSettings& settings, SkippedRecords& skipped,
                  const Read& read) {
  JsonLinesReader reader = open_records(path);
  std::vector<decltype(read(reader, nlohmann::json()))> records;
  while (true) {
    try {
      const std::optional<nlohmann::json> record = reader.next();
      if (!record) return records;
      records.push_back(read(reader, *record));
    } catch (const DataError& error) {
      if (!settings.skip_bad_records) throw;
      skipped.add(error);
    }
  }
}

/// Throws DataError unless there are as many predictions as the folder `settings.data`, if one is given, has
/// records in <dataset>.jsonl.
void check_count(const std::filesystem::path& predictions, const std::string& dataset, size_t count,
                 const ScoreSettings& settings);

using Scores = std::vector<std::optional<double>>;

/// score(0) to score(count - 1) on `jobs` threads. Throws what one of them throws.
Scores score_in_parallel(size_t count, int jobs, const std::function<std::optional<double>(size_t)>& score);

/// A file of predictions and the data set that its name, or the caller, says it answers.
struct PredictionFile {
  std::filesystem::path path;
  std::string dataset;
};

/// The files behind --predictions and --dataset: one file, `<prefix><dataset>.jsonl` in a folder, or all
/// .jsonl files of a folder by name. `prefix` is taken off file names that have it; with `dataset` given, the
/// file without the prefix is looked for too. Throws DataError when there is none.
std::vector<PredictionFile> prediction_files(const std::filesystem::path& predictions,
                                             const std::optional<std::string>& dataset,
                                             const std::string& prefix);

}  // namespace namm::tasks
