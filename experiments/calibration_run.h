#pragma once

#include <vector>

#include "experiments/item_times.h"
#include "experiments/run_context.h"
#include "experiments/stage_work.h"

namespace namm::experiments {

struct MeasureOptions {
  int threads = 1;            ///< items in flight while times are taken
  int repeats = 3;            ///< items of each kind
  double most_seconds = 120;  ///< no further repeats after so long; each kind is measured once in any case
};

/// Computes the first items of every kind of every stage with the real evaluators and takes their times. The
/// population is that of generation 0, with the statistics that the calibration items gave; stages that begin
/// with a memory are measured with the same. Throws what the evaluators throw, InfrastructureError for an
/// item that failed.
ItemTimes measure_items(const RunContext& context, const std::vector<StageWork>& works,
                        const MeasureOptions& options);

}  // namespace namm::experiments
