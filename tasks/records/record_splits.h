#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tasks/records/record_index.h"
#include "tasks/task.h"

namespace namm::tasks {

/// Records of a benchmark that has test records only, dealt out for evolution: for every Split the indices
/// into the RecordIndex, ascending.
using RecordSplits = std::array<std::vector<int64_t>, 3>;

/// `rule` "disjoint": 40 % train, 10 % validation, 50 % test, drawn by (seed, benchmark, the record's
/// document): questions about one document stand on one side, also those of a benchmark's other data sets,
/// and a longer or repaired file keeps the splits of a shorter one. "test": every record is a test sample.
/// "shared": every record is in every split, as in the released code (namm-semantics 8), where scores are not
/// held out.
RecordSplits split_records(const RecordIndex& records, const std::string& rule, const std::string& benchmark,
                           uint64_t seed);

}  // namespace namm::tasks
