#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/json_lines.h"
#include "tasks/records/benchmark_folder.h"

namespace namm::tasks {

/// Which records of a JSON-lines file are usable, and where they stand. The file is read once when it is
/// opened, later one record at a time: memory holds one record, whatever the file's size. Safe to use from
/// several threads.
class RecordIndex {
 public:
  /// Throws DataError (beginning with `where`, file:line) for a record that is not what its benchmark says.
  using Check = std::function<void(const std::string& where, const nlohmann::json& record)>;

  /// Reads `file`, one of the folder's. `id_field`: a text or number that no two records may share; records
  /// without it are accepted. Throws DataError for the first bad record, or leaves bad ones out and counts
  /// them; also when no record is left.
  RecordIndex(std::shared_ptr<const BenchmarkFolder> folder, const std::string& file, std::string id_field,
              BadRecords bad_records, Check check);

  int64_t count() const { return std::ssize(places_); }

  /// A hash of the record's `context`: records about one document have the same. 0 <= i < count().
  uint64_t document(int64_t i) const { return places_[static_cast<size_t>(i)].document; }

  /// `file:line` of a record.
  std::string where(int64_t i) const;

  /// Throws DataError when the file is no longer what it was when it was opened.
  nlohmann::json read(int64_t i) const;

  int64_t bad_records() const { return bad_records_; }
  /// What is wrong with the first of them, `most_named` at most.
  const std::vector<std::string>& named_bad_records() const { return named_bad_records_; }
  static constexpr size_t most_named = 20;

 private:
  struct Place {
    JsonLinesReader::Place begin;
    uint64_t line;
    uint64_t document;
  };

  std::shared_ptr<const BenchmarkFolder> folder_;
  std::string name_;
  Check check_;
  std::vector<Place> places_;
  int64_t bad_records_ = 0;
  std::vector<std::string> named_bad_records_;
  mutable std::mutex reader_mutex_;
  mutable JsonLinesReader reader_;
};

}  // namespace namm::tasks
