#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "evolution/queue_simulation.h"
#include "experiments/experiment.h"
#include "experiments/item_times.h"
#include "experiments/stage_work.h"

namespace namm::experiments {

struct PlanOptions {
  std::vector<int64_t> workers;
  double failure_seconds = 0;  ///< mean time between two failures of one worker; 0: none fails
  double restart_seconds = 60;
  int64_t prefetch = 1;
  uint64_t seed = 1;
};

/// A predicted run with some number of workers.
struct PlanRow {
  int64_t workers = 0;
  evolution::SimulatedTotals totals;
  double utilisation = 0;             ///< useful seconds over workers x seconds, 0 to 1
  int64_t queue_bytes = 0;            ///< items, candidates and results, both ways
  std::vector<double> stage_seconds;  ///< by stage
};

struct Plan {
  std::vector<StageWork> works;
  ItemTimes times;
  std::vector<PlanRow> rows;
  int64_t checkpoints = 0;               ///< written
  std::vector<std::string> assumptions;  ///< of times and simulation
};

/// Numbers of workers that are looked at where none are named: 1, 2, 4, ... 512, 1000.
std::vector<int64_t> usual_workers();

/// Simulates the run: its batches in the order in which stages publish them, item times drawn from `times`
/// (the same for every number of workers). Throws ConfigError where times are missing, InfrastructureError
/// where workers fail faster than they compute.
Plan make_plan(const ExperimentConfig& config, std::vector<StageWork> works, ItemTimes times,
               const PlanOptions& options);

/// What a work item and its share of the batch's data take on the wire, without candidates.
int64_t item_bytes(const evolution::WorkItem& item);

nlohmann::ordered_json to_json(const ExperimentConfig& config, const Plan& plan);
/// For people: work, table, assumptions.
std::string to_text(const ExperimentConfig& config, const Plan& plan);

}  // namespace namm::experiments
