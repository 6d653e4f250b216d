#include "evolution/record_table.h"

#include <stdexcept>
#include <utility>

#include "core/errors.h"
#include "core/text.h"

namespace namm::evolution {

RecordTable::RecordTable(int64_t rows, std::vector<SampleId> samples)
    : rows_(rows), samples_(std::move(samples)), records_(static_cast<std::size_t>(rows) * samples_.size()) {}

const Record& RecordTable::at(int64_t row, int64_t sample) const {
  if (row < 0 || row >= rows_ || sample < 0 || sample >= static_cast<int64_t>(samples_.size())) {
    throw std::out_of_range("RecordTable::at: no such record");
  }
  return records_[static_cast<std::size_t>(row) * samples_.size() + static_cast<std::size_t>(sample)];
}

void RecordTable::set(int64_t row, int64_t sample, Record record) {
  const_cast<Record&>(std::as_const(*this).at(row, sample)) = std::move(record);
}

RecordTable assemble(std::span<const WorkItem> items, std::span<const WorkResult> results, int64_t rows,
                     const std::vector<SampleId>& samples) {
  RecordTable table(rows, samples);
  const auto sample_count = static_cast<int64_t>(samples.size());
  // Items walk through the samples once per block of members.
  int64_t first = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const WorkItem& item = items[i];
    const WorkResult& result = results[i];
    const auto count = static_cast<int64_t>(item.samples.size());
    if (static_cast<int64_t>(result.records.size()) != item.rows() * count) {
      throw InfrastructureError(format_text("{}: {} records came back, expected {}", describe(item.id),
                                            result.records.size(), item.rows() * count));
    }
    for (int64_t row = 0; row < item.rows(); ++row) {
      for (int64_t sample = 0; sample < count; ++sample) {
        table.set(item.members.empty() ? 0 : item.members[row], first + sample, result.at(row, sample));
      }
    }
    first = (first + count) % sample_count;
  }
  return table;
}

}  // namespace namm::evolution
