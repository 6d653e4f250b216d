#include "evolution/work_item.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "core/sha256.h"
#include "core/text.h"
#include "evolution/bytes.h"

namespace namm::evolution {
namespace {

constexpr uint32_t kResultVersion = 2;

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0);
}

}  // namespace

void write_id(ByteWriter& writer, const ItemId& id) {
  writer.number(id.stage);
  writer.number(static_cast<uint8_t>(id.purpose));
  writer.number(id.generation);
  writer.number(id.variant);
  writer.number(id.index);
}

ItemId read_id(ByteReader& reader) {
  ItemId id;
  id.stage = reader.number<int32_t>();
  const auto purpose = reader.number<uint8_t>();
  if (purpose > static_cast<uint8_t>(Purpose::test)) {
    reader.fail("unknown purpose");
  }
  id.purpose = static_cast<Purpose>(purpose);
  id.generation = reader.number<int64_t>();
  id.variant = reader.number<int32_t>();
  id.index = reader.number<int64_t>();
  return id;
}

std::string_view to_string(Purpose purpose) {
  switch (purpose) {
    case Purpose::calibrate:
      return "calibrate";
    case Purpose::reference:
      return "reference";
    case Purpose::population:
      return "population";
    case Purpose::validation:
      return "validation";
    case Purpose::test:
      return "test";
  }
  return "unknown";
}

std::optional<Purpose> parse_purpose(std::string_view text) {
  for (const Purpose purpose :
       {Purpose::calibrate, Purpose::reference, Purpose::population, Purpose::validation, Purpose::test}) {
    if (to_string(purpose) == text) return purpose;
  }
  return std::nullopt;
}

std::span<const float> CandidateMatrix::row(int64_t index) const {
  if (index < 0 || index >= std::ssize(vectors) || !vectors[static_cast<std::size_t>(index)]) {
    throw std::out_of_range("CandidateMatrix::row: no such row");
  }
  return *vectors[static_cast<std::size_t>(index)];
}

std::shared_ptr<const CandidateMatrix> make_candidates(int64_t rows, int64_t dimension,
                                                       const std::vector<double>& values) {
  if (rows < 0 || dimension < 0 || static_cast<int64_t>(values.size()) != rows * dimension) {
    throw std::invalid_argument("make_candidates: values must be rows x dimension");
  }
  auto matrix = std::make_shared<CandidateMatrix>();
  matrix->rows = rows;
  matrix->dimension = dimension;
  for (auto row = values.begin(); std::ssize(matrix->vectors) < rows; row += dimension) {
    matrix->vectors.push_back(std::make_shared<const std::vector<float>>(row, row + dimension));
  }
  return matrix;
}

std::string describe_batch(const ItemId& id) {
  return format_text("stage {}, generation {}, {}", id.stage, id.generation, to_string(id.purpose));
}

std::string describe(const ItemId& id) {
  std::string text = format_text("{} item {}", describe_batch(id), id.index);
  if (id.variant != 0) {
    text += format_text(" of variant {}", id.variant);
  }
  return text;
}

std::span<const float> WorkItem::parameters(int64_t row) const {
  if (row < 0 || row >= std::ssize(members) || !candidates) {
    throw std::out_of_range("WorkItem::parameters: no such row");
  }
  return candidates->row(members[static_cast<std::size_t>(row)]);
}

std::string WorkItem::content_hash() const {
  ByteWriter writer;
  write_id(writer, id);
  writer.number(static_cast<uint64_t>(members.size()));
  for (const int64_t member : members) {
    writer.number(member);
  }
  writer.number(static_cast<uint64_t>(samples.size()));
  for (const SampleId& sample : samples) {
    writer.number(sample.task);
    writer.number(sample.sample);
  }
  writer.text(payload);
  writer.text(shared ? std::string_view(*shared) : std::string_view());
  Sha256 hash;
  hash.update(writer.take());
  for (int64_t row = 0; row < static_cast<int64_t>(members.size()); ++row) {
    const std::span<const float> vector = parameters(row);
    hash.update_integer(vector.size()).update(vector.data(), vector.size_bytes());
  }
  const auto digest = hash.digest();
  return {digest.begin(), digest.end()};
}

bool WorkResult::same_outcome(const WorkResult& other) const {
  return id == other.id && content_hash == other.content_hash && rows == other.rows &&
         samples == other.samples && bytes == other.bytes && failed() == other.failed() &&
         std::equal(records.begin(), records.end(), other.records.begin(), other.records.end(),
                    [](const Record& a, const Record& b) {
                      return a.bytes == b.bytes && same_bits(a.values, b.values);
                    });
}

bool is_users_fault(ExitCode code) {
  return code == ExitCode::config || code == ExitCode::data;
}

void throw_failure(const WorkResult& result, const std::string& text) {
  if (result.failure_code == ExitCode::config) throw ConfigError(text);
  if (result.failure_code == ExitCode::data) throw DataError(text);
  throw InfrastructureError(text);
}

bool has_shape_of(const WorkResult& result, const WorkItem& item) {
  const auto samples = std::ssize(item.samples);
  const bool only_bytes =
      item.id.purpose == Purpose::calibrate && result.records.empty() && !result.bytes.empty();
  return result.rows == item.rows() && result.samples == samples &&
         (only_bytes || std::ssize(result.records) == item.rows() * samples);
}

std::string encode(const WorkResult& result) {
  ByteWriter writer;
  writer.number(kResultVersion);
  write_id(writer, result.id);
  writer.number(result.attempt);
  writer.number(result.delivery);
  writer.text(result.content_hash);
  writer.number(result.rows);
  writer.number(result.samples);
  writer.number(static_cast<uint64_t>(result.records.size()));
  for (const Record& record : result.records) {
    writer.number(static_cast<uint64_t>(record.values.size()));
    for (const double value : record.values) {
      writer.number(value);
    }
    writer.text(record.bytes);
  }
  writer.text(result.bytes);
  writer.text(result.timings);
  writer.text(result.failure);
  writer.number(static_cast<int32_t>(result.failure_code));
  writer.number(result.seconds);
  writer.text(result.worker);
  return writer.take();
}

WorkResult decode_result(std::string_view bytes) {
  ByteReader reader(bytes, "result record");
  if (reader.number<uint32_t>() != kResultVersion) {
    reader.fail("unknown version");
  }
  WorkResult result;
  result.id = read_id(reader);
  result.attempt = reader.number<int32_t>();
  result.delivery = reader.number<int32_t>();
  result.content_hash = reader.text();
  result.rows = reader.number<int64_t>();
  result.samples = reader.number<int64_t>();
  result.records.resize(reader.count(8 + 8));
  int64_t expected = 0;
  if (result.rows < 0 || result.samples < 0 ||
      __builtin_mul_overflow(result.rows, result.samples, &expected) ||
      (!result.records.empty() && static_cast<int64_t>(result.records.size()) != expected)) {
    reader.fail("the number of records is not rows x samples");
  }
  for (Record& record : result.records) {
    record.values.resize(reader.count(8));
    for (double& value : record.values) {
      value = reader.number<double>();
    }
    record.bytes = reader.text();
  }
  result.bytes = reader.text();
  result.timings = reader.text();
  result.failure = reader.text();
  const auto code = reader.number<int32_t>();
  switch (static_cast<ExitCode>(code)) {
    case ExitCode::config:
    case ExitCode::data:
    case ExitCode::infrastructure:
    case ExitCode::interrupted:
      result.failure_code = static_cast<ExitCode>(code);
      break;
    default:
      reader.fail("unknown failure code");
  }
  result.seconds = reader.number<double>();
  result.worker = reader.text();
  reader.expect_end();
  if (result.attempt < 1 || result.delivery < 1 || !(result.seconds >= 0 && std::isfinite(result.seconds))) {
    reader.fail("impossible attempt, delivery or time");
  }
  return result;
}

std::vector<WorkItem> partition(ItemId id, std::shared_ptr<const CandidateMatrix> candidates,
                                const std::vector<SampleId>& samples, int64_t members_per_item,
                                int64_t samples_per_item, std::shared_ptr<const std::string> shared) {
  if (members_per_item < 1 || samples_per_item < 1) {
    throw std::invalid_argument("partition: an item needs at least one member and one sample");
  }
  const int64_t rows = candidates ? candidates->rows : 0;
  const auto sample_count = static_cast<int64_t>(samples.size());
  std::vector<WorkItem> items;
  id.index = 0;
  for (int64_t first_member = 0; first_member == 0 || first_member < rows; first_member += members_per_item) {
    for (int64_t first = 0; first < sample_count;) {
      int64_t last = first + 1;
      while (last < sample_count && last - first < samples_per_item &&
             samples[last].task == samples[first].task) {
        ++last;
      }
      WorkItem item;
      item.id = id;
      for (int64_t member = first_member; member < std::min(rows, first_member + members_per_item);
           ++member) {
        item.members.push_back(member);
      }
      item.samples.assign(samples.begin() + first, samples.begin() + last);
      item.candidates = candidates;
      item.shared = shared;
      items.push_back(std::move(item));
      ++id.index;
      first = last;
    }
  }
  return items;
}

}  // namespace namm::evolution
