#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/run_directory.h"
#include "evolution/queue.h"
#include "evolution/work_item.h"

namespace namm::evolution {

struct BatchOptions {
  std::string config_sha256;             ///< a checkpoint or journal of another configuration is refused
  int attempts = 3;                      ///< failures of one item that stop the run
  std::function<bool()> stop_requested;  ///< Ctrl-C (interrupt_requested of core); may be empty
  /// After every result: the batch (an ItemId whose `index` is 0), items done, items in all. May be empty.
  std::function<void(const ItemId& batch, int64_t done, int64_t total)> on_progress;
};

/// Totals over the batches of a coordinator.
struct BatchCounts {
  int64_t reissued = 0;           ///< items handed out again
  std::set<std::string> workers;  ///< whose results counted in the running generation
};

/// Has all `items` computed and returns their results in the order of `items` (not empty; ids unique, not
/// necessarily of one purpose). Results already in the journal, which is named after the first item, are
/// taken from there when their content hash fits; new ones are appended to it before they count. Throws
/// Interrupted (on a queue inside the process items in hand are journalled first; on one between machines
/// their results wait there), InfrastructureError (an item failed `attempts` times: named, with the last
/// reason), ConfigError or DataError as the evaluator threw it (Queue::in_process; elsewhere as the last of
/// the failures).
std::vector<WorkResult> compute_batch(std::vector<WorkItem> items, const BatchOptions& options,
                                      const RunDirectory& run, Queue& queue, BatchCounts& counts);

/// Name of the journal of the batch that begins with this item:
/// stage_<stage>_generation_<generation>_<purpose>_<variant>.journal.
std::string journal_name(const ItemId& batch);
/// The batch (`index` 0) whose journal is called so; nothing for another file's name.
std::optional<ItemId> parse_journal_name(const std::string& name);

/// Removes the journal of the batch that began with this item, once its outcome is safely stored elsewhere.
void discard_journal(const RunDirectory& run, const ItemId& batch);

}  // namespace namm::evolution
