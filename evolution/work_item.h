#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/errors.h"

namespace namm::evolution {

/// What a block of evaluations is for.
enum class Purpose : uint8_t { calibrate = 0, reference = 1, population = 2, validation = 3, test = 4 };

std::string_view to_string(Purpose purpose);
/// Nothing for a text that names none.
std::optional<Purpose> parse_purpose(std::string_view text);

/// A sample of a task: index of the task in the stage's list, and the sample's id there. Generated samples
/// use the id as the key of their random draws.
struct SampleId {
  int32_t task = 0;
  int64_t sample = 0;
  auto operator<=>(const SampleId&) const = default;
};

/// Parameter vectors of a batch, float32, shared by all its items. A worker on another machine holds the rows
/// of its own items only, a plan none.
struct CandidateMatrix {
  int64_t rows = 0;
  int64_t dimension = 0;
  std::vector<std::shared_ptr<const std::vector<float>>> vectors;  ///< [rows] of [dimension]; null: not here

  /// Throws std::out_of_range for a row that is not here.
  std::span<const float> row(int64_t index) const;
};

/// float64 [rows, n] as an optimiser gives it, rounded to what a model computes with.
std::shared_ptr<const CandidateMatrix> make_candidates(int64_t rows, int64_t dimension,
                                                       const std::vector<double>& values);

/// Names an item within a run.
struct ItemId {
  int32_t stage = 0;
  Purpose purpose = Purpose::population;
  int64_t generation = 0;
  int32_t variant = 0;  ///< evaluation: index of the policy; 0 otherwise
  int64_t index = 0;    ///< block within (stage, purpose, generation, variant)
  auto operator<=>(const ItemId&) const = default;
};

/// "stage 0, generation 3, population item 5", for messages.
std::string describe(const ItemId& id);
/// "stage 0, generation 3, population".
std::string describe_batch(const ItemId& id);

/// A fixed block: members x samples. The partition depends on the configuration only, so that a block is
/// computed with the same batch shape wherever it runs.
struct WorkItem {
  ItemId id;
  int32_t attempt = 1;   ///< counts failures: published again after one
  int32_t delivery = 1;  ///< how often the queue has handed out this attempt; above 1 a worker was lost
  std::vector<int64_t> members;  ///< rows of `candidates`; empty: nothing to vary (one record row)
  std::vector<SampleId> samples;
  std::shared_ptr<const CandidateMatrix> candidates;  ///< null when `members` is empty
  std::shared_ptr<const std::string>
      shared;           ///< opaque bytes of the whole batch (normalisation statistics); may be null
  std::string payload;  ///< opaque bytes of this item (budgets handed to a baseline); may be empty

  /// Record rows: one per member, or one when there is no member.
  int64_t rows() const { return members.empty() ? 1 : static_cast<int64_t>(members.size()); }

  /// Parameter vector [n] of the item's row, from `candidates`. Throws std::out_of_range.
  std::span<const float> parameters(int64_t row) const;

  /// SHA-256 (32 bytes) over everything that decides the result: id, members and their vectors, samples,
  /// shared, payload.
  std::string content_hash() const;
};

/// What came out for one (member, sample): numbers in an order that the evaluator and the reducer share, and
/// opaque bytes (the predicted text).
struct Record {
  std::vector<double> values;
  std::string bytes;
  bool operator==(const Record&) const = default;
};

/// The outcome of an item, or of a failed attempt.
struct WorkResult {
  ItemId id;
  int32_t attempt = 1;
  int32_t delivery = 1;
  std::string content_hash;  ///< of the item, filled in by the worker loop
  int64_t rows = 0;
  int64_t samples = 0;
  std::vector<Record> records;  ///< [rows, samples], row-major
  std::string bytes;            ///< opaque bytes of the item (calibration statistics)
  std::string timings;          ///< opaque bytes that may differ from one run to the next
  std::string failure;          ///< why the attempt failed; empty: it did not
  ExitCode failure_code = ExitCode::infrastructure;  ///< data, config: trying again cannot help
  double seconds = 0;                                ///< wall time of the evaluation
  std::string worker;                                ///< name and device, for messages

  bool failed() const { return !failure.empty(); }
  const Record& at(int64_t row, int64_t sample) const { return records[row * samples + sample]; }

  /// Equal in everything that a result must reproduce bit for bit (not time, worker, attempt, delivery).
  bool same_outcome(const WorkResult& other) const;
};

/// Of a failure: configuration or data, which trying again on the same machine cannot help.
bool is_users_fault(ExitCode code);
/// Throws the error that a failed result stands for, with this text: ConfigError, DataError or
/// InfrastructureError.
[[noreturn]] void throw_failure(const WorkResult& result, const std::string& text);

/// Whether a result that did not fail has a record for each row and sample of the item; of a calibration,
/// whose outcome may be `bytes` alone, all or none.
bool has_shape_of(const WorkResult& result, const WorkItem& item);

/// Bytes of an id, in records of results and items.
class ByteWriter;
class ByteReader;
void write_id(ByteWriter& writer, const ItemId& id);
/// Throws DataError.
ItemId read_id(ByteReader& reader);

/// Bytes of a result, little-endian; the format of the journal and of queues between machines.
std::string encode(const WorkResult& result);

/// Throws DataError on anything that `encode` does not write: lengths beyond the buffer, counts that do not
/// fit, unknown version, bytes left over. Never allocates more than the buffer can justify.
WorkResult decode_result(std::string_view bytes);

/// Cuts members x samples into items of at most `members_per_item` x `samples_per_item`; a block never
/// crosses from one task into the next. `id.index` counts from 0, member blocks outermost. `candidates` may
/// be null: no members.
std::vector<WorkItem> partition(ItemId id, std::shared_ptr<const CandidateMatrix> candidates,
                                const std::vector<SampleId>& samples, int64_t members_per_item,
                                int64_t samples_per_item,
                                std::shared_ptr<const std::string> shared = nullptr);

}  // namespace namm::evolution
