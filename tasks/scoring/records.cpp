#include "tasks/scoring/records.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <istream>
#include <memory>
#include <mutex>
#include <sstream>
#include <thread>

#include "core/files.h"
#include "core/text.h"
#include "tasks/records/benchmark_folder.h"
#include "tasks/text/python_json.h"

namespace namm::tasks {
namespace {

constexpr size_t most_reasons = 10;

bool is_file(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

}  // namespace

void SkippedRecords::add(const DataError& error) {
  if (count++ < most_reasons) first_reasons.emplace_back(error.what());
}

JsonLinesReader open_records(const std::filesystem::path& path) {
  // Predictions are small next to the data they answer; the whole file is taken to mend what only Python
  // accepts.
  auto stream = std::make_unique<std::istringstream>(without_lone_surrogates(read_file(path)));
  return {std::move(stream), path.string()};
}

void check_count(const std::filesystem::path& predictions, const std::string& dataset, size_t count,
                 const ScoreSettings& settings) {
  if (settings.data.empty()) return;
  const auto folder = BenchmarkFolder::open(settings.data);
  const std::string file = folder->find(dataset + ".jsonl");
  if (file.empty()) {
    throw DataError(format_text("{}: {}.jsonl is not there; --data names the benchmark's data",
                                settings.data.string(), dataset));
  }
  JsonLinesReader reader(folder->read(file), folder->name_of(file), BadRecords::skip);
  size_t records = 0;
  while (reader.next()) ++records;
  records += reader.skipped();
  if (count == records) return;
  throw DataError(format_text("{}: {} predictions, but {} has {} records: {}", predictions.string(), count,
                              reader.name(), records,
                              count < records ? "generate the missing ones" : "they belong to other data"));
}

Scores score_in_parallel(size_t count, int jobs, const std::function<std::optional<double>(size_t)>& score) {
  Scores scores(count);
  std::atomic<size_t> next = 0;
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto work = [&] {
    try {
      for (size_t i; (i = next++) < count;) scores[i] = score(i);
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      error = std::current_exception();
    }
  };
  const size_t threads = std::min(static_cast<size_t>(std::max(jobs, 1)), count);
  {
    std::vector<std::jthread> workers;
    for (size_t i = 1; i < threads; ++i) workers.emplace_back(work);
    work();
  }
  if (error) std::rethrow_exception(error);
  return scores;
}

std::vector<PredictionFile> prediction_files(const std::filesystem::path& predictions,
                                             const std::optional<std::string>& dataset,
                                             const std::string& prefix) {
  const auto dataset_of = [&](const std::filesystem::path& path) {
    if (dataset) return *dataset;
    const std::string name = path.stem().string();
    return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
  };
  std::error_code ignored;
  if (!std::filesystem::is_directory(predictions, ignored)) {
    if (!is_file(predictions)) {
      throw DataError(format_text("{}: no such file or folder", predictions.string()));
    }
    return {{predictions, dataset_of(predictions)}};
  }
  if (dataset) {
    for (const std::string& name : {prefix + *dataset, *dataset}) {
      const std::filesystem::path path = predictions / (name + ".jsonl");
      if (is_file(path)) return {{path, *dataset}};
    }
    throw DataError(format_text("{}: no such file", (predictions / (prefix + *dataset + ".jsonl")).string()));
  }
  std::vector<PredictionFile> files;
  for (const auto& entry : std::filesystem::directory_iterator(predictions)) {
    if (entry.is_regular_file() && entry.path().extension() == ".jsonl") {
      files.push_back({entry.path(), dataset_of(entry.path())});
    }
  }
  if (files.empty()) throw DataError(format_text("{}: no .jsonl file in this folder", predictions.string()));
  std::ranges::sort(files, {}, &PredictionFile::path);
  return files;
}

}  // namespace namm::tasks
