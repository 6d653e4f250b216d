#include "tasks/records/record_splits.h"

#include "core/random.h"

namespace namm::tasks {

RecordSplits split_records(const RecordIndex& records, const std::string& rule, const std::string& benchmark,
                           uint64_t seed) {
  RecordSplits splits;
  const auto of = [&](Split split) -> std::vector<int64_t>& { return splits[static_cast<size_t>(split)]; };
  for (int64_t i = 0; i < records.count(); ++i) {
    if (rule == "shared") {
      for (auto& split : splits) split.push_back(i);
    } else if (rule == "disjoint") {
      RandomStream random({.seed = seed, .purpose = benchmark + "/splits", .sample = records.document(i)});
      const uint64_t tenth = random.uniform_int(10);
      of(tenth < 4 ? Split::train : tenth < 5 ? Split::validation : Split::test).push_back(i);
    } else {
      of(Split::test).push_back(i);
    }
  }
  return splits;
}

}  // namespace namm::tasks
