#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "evolution/work_item.h"

namespace namm::evolution {

/// Records of a batch in fixed order: [rows, samples]. A view of the gathered results.
class RecordTable {
 public:
  /// Every record empty.
  RecordTable(int64_t rows, std::vector<SampleId> samples);
  int64_t rows() const { return rows_; }
  const std::vector<SampleId>& samples() const { return samples_; }
  /// Throws std::out_of_range.
  const Record& at(int64_t row, int64_t sample) const;
  void set(int64_t row, int64_t sample, Record record);

 private:
  int64_t rows_;
  std::vector<SampleId> samples_;
  std::vector<Record> records_;
};

/// Puts results into one table [rows, samples]: result i belongs to items[i], as `partition` made them of
/// these samples. Throws InfrastructureError when a record is missing.
RecordTable assemble(std::span<const WorkItem> items, std::span<const WorkResult> results, int64_t rows,
                     const std::vector<SampleId>& samples);

}  // namespace namm::evolution
