#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/errors.h"
#include "evolution/run_announcement.h"

// The announcement of a run, which a worker reads from whatever server it is pointed at.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace namm::evolution;
  try {
    const RunAnnouncement run = parse_announcement({reinterpret_cast<const char*>(data), size});
    if (!is_run_id(run.run)) std::abort();
    const RunAnnouncement again = parse_announcement(to_json_text(run));
    if (to_json_text(again) != to_json_text(run)) std::abort();
    if (!difference(run.requirements, again.requirements).empty()) std::abort();
    // As workers count with them.
    if (static_cast<int64_t>(run.lease_seconds * 1000) < 1) std::abort();
    if (run.item_limit_seconds < 0 || run.max_deliveries < 1) std::abort();
  } catch (const namm::DataError&) {
  }
  return 0;
}
