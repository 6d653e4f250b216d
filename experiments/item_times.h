#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "evolution/work_item.h"
#include "experiments/stage_work.h"

namespace namm::experiments {

/// Items that take equally long but for their contents.
struct ItemKind {
  std::string stage;
  std::string purpose;  ///< evolution::to_string
  int64_t variant = 0;  ///< ItemId::variant
  std::string task;
  int64_t members = 0;  ///< rows of the item
  int64_t samples = 0;

  auto operator<=>(const ItemKind&) const = default;
};

ItemKind kind_of(const StageWork& work, const evolution::WorkItem& item);

/// How long items of one kind took, or may take.
struct KindTimes {
  std::vector<double> seconds;  ///< one after the other drawn from, all equally likely; not empty
  int64_t result_bytes = 0;     ///< evolution::encode of a result
};

/// The coordinator's own part. All of one machine.
struct CoordinatorTimes {
  double update_seconds = 0;      ///< ask and tell of a generation, and the hash of the state
  double checkpoint_seconds = 0;  ///< writing one, a row of the log, and beginning a journal
  int64_t checkpoint_bytes = 0;
  double result_seconds = 0;  ///< checking a result and appending it to the journal
};

/// What a run's time consists of: measured (calibration_run.h), predicted (throughput_model.h), or read from
/// a file.
struct ItemTimes {
  std::map<ItemKind, KindTimes> kinds;
  CoordinatorTimes coordinator;
  std::string device;                    ///< what one worker is: "cpu", "cuda:0", "one H100, predicted"
  std::vector<std::string> assumptions;  ///< sentences; what is not measured is said to be so

  /// Times of the kind; else those of the nearest size of the same stage, purpose and task, or of the same
  /// purpose, scaled by members x samples, which is then said in `scaled`. Throws ConfigError when nothing of
  /// the same purpose is known.
  KindTimes find(const ItemKind& kind, std::vector<std::string>& scaled) const;
};

/// One small JSON document. Throws InfrastructureError.
void save_item_times(const std::filesystem::path& path, const ItemTimes& times);
/// Throws DataError for a file that save_item_times cannot have written.
ItemTimes load_item_times(const std::filesystem::path& path);

}  // namespace namm::experiments
