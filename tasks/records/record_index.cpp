#include "tasks/records/record_index.h"

#include <istream>
#include <unordered_map>

#include "core/errors.h"
#include "core/text.h"

namespace namm::tasks {

using nlohmann::json;

RecordIndex::RecordIndex(std::shared_ptr<const BenchmarkFolder> folder, const std::string& file,
                         std::string id_field, BadRecords bad_records, Check check)
    : folder_(std::move(folder)),
      name_(folder_->name_of(file)),
      check_(std::move(check)),
      reader_(folder_->read(file), name_, bad_records) {
  std::unordered_map<std::string, uint64_t> line_of_id;
  int64_t refused = 0;
  for (uint64_t read = 0;; ++read) {
    const JsonLinesReader::Place begin = reader_.place();
    const std::optional<json> record = reader_.next();
    if (!record) break;
    try {
      check_(reader_.where(), *record);
      if (const auto id = record->find(id_field); id != record->end()) {
        const auto [known, is_new] = line_of_id.emplace(id->dump(), reader_.line());
        if (!is_new) {
          reader_.fail(format_text("`{}` {} is also that of line {}", id_field, known->first, known->second));
        }
      }
      places_.push_back({begin, reader_.line(), read + reader_.skipped()});
    } catch (const DataError& error) {
      if (bad_records == BadRecords::refuse) throw;
      if (refused++ == 0) first_bad_record_ = error.what();
    }
  }
  bad_records_ = static_cast<int64_t>(reader_.skipped()) + refused;
  if (first_bad_record_.empty()) first_bad_record_ = reader_.first_skipped();
  if (places_.empty()) throw DataError(format_text("{}: holds no usable record", name_));
}

std::string RecordIndex::where(int64_t i) const {
  return format_text("{}:{}", name_, places_[static_cast<size_t>(i)].line);
}

json RecordIndex::read(int64_t i) const {
  const Place& place = places_[static_cast<size_t>(i)];
  const auto changed = [&] {
    return DataError(where(i) + ": the file has changed since it was opened; start again");
  };
  std::optional<json> record;
  {
    const std::lock_guard lock(reader_mutex_);
    reader_.go_to(place.begin);
    try {
      record = reader_.next();
    } catch (const DataError&) {
      throw changed();
    }
    if (!record || reader_.line() != place.line) throw changed();
  }
  check_(where(i), *record);
  return std::move(*record);
}

}  // namespace namm::tasks
