#include "tasks/records/record_index.h"

#include <istream>
#include <unordered_map>

#include "core/errors.h"
#include "core/sha256.h"
#include "core/text.h"

namespace namm::tasks {

using nlohmann::json;

namespace {

/// The first eight bytes of the context's SHA-256: the same on every machine.
uint64_t document_hash(const json& record) {
  const auto context = record.find("context");
  if (context == record.end() || !context->is_string()) return 0;
  return std::stoull(sha256_hex(context->get_ref<const std::string&>()).substr(0, 16), nullptr, 16);
}

}  // namespace

RecordIndex::RecordIndex(std::shared_ptr<const BenchmarkFolder> folder, const std::string& file,
                         std::string id_field, BadRecords bad_records, Check check)
    : folder_(std::move(folder)),
      name_(folder_->name_of(file)),
      check_(std::move(check)),
      reader_(folder_->read(file), name_) {
  std::unordered_map<std::string, uint64_t> line_of_id;
  const auto name_bad_record = [&](const std::string& text) {
    ++bad_records_;
    if (named_bad_records_.size() < most_named) named_bad_records_.push_back(text);
  };
  while (true) {
    const JsonLinesReader::Place begin = reader_.place();
    std::optional<json> record;
    try {
      record = reader_.next();
    } catch (const DataError& error) {
      if (bad_records == BadRecords::refuse || reader_.is_broken()) throw;
      name_bad_record(error.what());
      continue;
    }
    if (!record) break;
    try {
      check_(reader_.where(), *record);
      if (const auto id = record->find(id_field); id != record->end()) {
        const auto [known, is_new] = line_of_id.emplace(id->dump(), reader_.line());
        if (!is_new) {
          reader_.fail(format_text("`{}` {} is also that of line {}", id_field, known->first, known->second));
        }
      }
      places_.push_back({begin, reader_.line(), document_hash(*record)});
    } catch (const DataError& error) {
      if (bad_records == BadRecords::refuse) throw;
      name_bad_record(error.what());
    }
  }
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
