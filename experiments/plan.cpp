#include "experiments/plan.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <map>
#include <sstream>

#include <nlohmann/json.hpp>

#include "core/random.h"
#include "core/text.h"
#include "evolution/queue.h"
#include "memory/policy_list.h"

namespace namm::experiments {

namespace {

constexpr double kHour = 3600;

/// A batch with the times of its items' kinds, from which every generation draws anew.
struct Batch {
  std::vector<const KindTimes*> kinds;  ///< by item
  std::vector<evolution::SimulatedItem> items;
  int64_t bytes = 0;  ///< items out and results back

  bool empty() const { return items.empty(); }
};

/// One stage's batches and what it takes from the run's random numbers.
struct StageBatches {
  Batch calibration, population, later_population, validation_reference, validation, shifts, test;
};

class Simulation {
 public:
  Simulation(const std::vector<StageWork>& works, const ItemTimes& times, std::vector<std::string>& scaled)
      : works_(works), times_(times) {
    for (const StageWork& work : works) {
      StageBatches batches;
      batches.calibration = batch_of(work, {&work.calibration}, scaled);
      batches.population = batch_of(work, {&work.population, &work.reference}, scaled);
      batches.later_population = batch_of(work, {&work.population_of(1), &work.reference}, scaled);
      batches.validation_reference = batch_of(work, {&work.validation_reference}, scaled);
      batches.validation = batch_of(work, {&work.validation}, scaled);
      batches.shifts = batch_of(work, {&work.shifts}, scaled);
      batches.test = batch_of(work, {&work.test}, scaled);
      batches_.push_back(std::move(batches));
    }
  }

  PlanRow run(const evolution::SimulatedQueueConfig& config) {
    evolution::QueueSimulation queue(config);
    PlanRow row;
    row.workers = config.workers;
    const CoordinatorTimes& coordinator = times_.coordinator;
    for (size_t i = 0; i < works_.size(); ++i) {
      const StageWork& work = works_[i];
      StageBatches& batches = batches_[i];
      const double begin = queue.totals().seconds;
      const auto publish = [&](Batch& batch, int64_t generation, uint64_t place) {
        if (batch.empty()) return;
        StreamKey key{.seed = config.seed, .purpose = "plan/items"};
        key.generation = static_cast<uint64_t>(generation);
        key.member = i;
        key.sample = place;
        draw(batch, key);
        queue.run_batch(batch.items);
        row.queue_bytes += batch.bytes;
      };
      publish(batches.test, 0, 0);
      if (work.evolves) {
        publish(batches.calibration, 0, 1);
        queue.wait(coordinator.checkpoint_seconds);
        bool validated = false;
        for (int64_t generation = 0; generation < work.generations; ++generation) {
          publish(generation == 0 ? batches.population : batches.later_population, generation, 2);
          queue.wait(coordinator.update_seconds);
          if (work.validates_after(generation + 1)) {
            if (!validated) publish(batches.validation_reference, generation, 3);
            publish(batches.validation, generation, 4);
            validated = true;
          }
          queue.wait(coordinator.checkpoint_seconds);
        }
        publish(batches.shifts, work.generations, 5);
      }
      row.stage_seconds.push_back(queue.totals().seconds - begin);
    }
    row.totals = queue.totals();
    row.utilisation = row.totals.seconds > 0 ? row.totals.useful_seconds / row.totals.seconds /
                                                   static_cast<double>(config.workers)
                                             : 0;
    row.queue_bytes += row.totals.fetched_bytes;
    return row;
  }

 private:
  const KindTimes* times_of(const ItemKind& kind, std::vector<std::string>& scaled) {
    const auto found = kinds_.find(kind);
    if (found != kinds_.end()) return &found->second;
    return &kinds_.emplace(kind, times_.find(kind, scaled)).first->second;
  }

  Batch batch_of(const StageWork& work, const std::vector<const StageWork::Items*>& lists,
                 std::vector<std::string>& scaled) {
    Batch batch;
    for (const auto* list : lists) {
      for (const auto& item : *list) {
        const KindTimes* kind = times_of(kind_of(work, item), scaled);
        evolution::SimulatedItem simulated;
        if (!item.members.empty()) {
          simulated.candidates = static_cast<int32_t>(item.members.front());
          simulated.candidates_bytes =
              std::ssize(item.members) * item.candidates->dimension * static_cast<int64_t>(sizeof(float));
        }
        batch.kinds.push_back(kind);
        batch.items.push_back(simulated);
        batch.bytes += item_bytes(item) + kind->result_bytes;
      }
    }
    return batch;
  }

  static void draw(Batch& batch, const StreamKey& key) {
    RandomStream random(key);
    for (size_t i = 0; i < batch.items.size(); ++i) {
      const auto& seconds = batch.kinds[i]->seconds;
      batch.items[i].seconds = seconds[static_cast<size_t>(random.uniform_int(seconds.size()))];
    }
  }

  const std::vector<StageWork>& works_;
  const ItemTimes& times_;
  std::map<ItemKind, KindTimes> kinds_;
  std::vector<StageBatches> batches_;
};

int64_t checkpoints_of(const std::vector<StageWork>& works) {
  int64_t count = 0;
  for (const auto& work : works) count += work.evolves ? work.generations + 1 : 0;
  return count;
}

std::string fixed(double value, int digits) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << value;
  return out.str();
}

/// Hours with three digits that say something.
std::string hours(double seconds) {
  const double value = seconds / kHour;
  const int before = value > 0 ? static_cast<int>(std::floor(std::log10(value))) + 1 : 1;
  return fixed(value, std::clamp(3 - before, 0, 9));
}

std::string duration(double seconds) {
  return seconds < 1 ? format_text("{} ms", std::round(seconds * 1e4) / 10) : format_seconds(seconds);
}

std::vector<std::string> assumptions_of(const ExperimentConfig& config, const PlanOptions& options,
                                        const ItemTimes& times) {
  std::vector<std::string> list = times.assumptions;
  const CoordinatorTimes& own = times.coordinator;
  list.push_back(
      format_text("The coordinator takes {} to update the optimiser, {} to write a checkpoint of {} "
                  "and {} for each result, while the workers wait or go on.",
                  duration(own.update_seconds), duration(own.checkpoint_seconds),
                  format_bytes(static_cast<uint64_t>(own.checkpoint_bytes)), duration(own.result_seconds)));
  list.push_back(format_text("Every worker computes one item{}; a generation waits for its last item.",
                             options.prefetch == 0
                                 ? ""
                                 : format_text(" and, after one of less than {} ms, holds {} more",
                                               evolution::kShortItem.count(), options.prefetch)));
  if (options.failure_seconds > 0) {
    list.push_back(
        format_text("A worker fails every {} h on average (--mtbf-hours) and is back after {}; its items "
                    "come back when their lease of {} s has run out (queue.lease_seconds).",
                    options.failure_seconds / kHour, format_seconds(options.restart_seconds),
                    config.queue.lease_seconds));
  } else {
    list.emplace_back("No worker fails (--mtbf-hours).");
  }
  list.emplace_back("Loading the model and transfers between machines take no time.");
  return list;
}

std::string describe_work(const StageWork& work) {
  if (!work.evolves) {
    return format_text("{}: evaluates {} contexts, one an item\n", work.name, work.contexts);
  }
  std::string text = format_text(
      "{}: evolves {} parameters with {}, {} generations of {} members x {} contexts\n  items a generation: "
      "{}",
      work.name, work.parameters, work.optimizer, work.generations, work.population_size, work.contexts,
      work.population.size());
  if (work.reevaluations > 0) {
    text += format_text(", from the second on {} with {} members evaluated again",
                        work.later_population.size(), work.reevaluations);
  }
  if (!work.reference.empty()) text += format_text(" + {} of the full cache", work.reference.size());
  if (!work.validation.empty())
    text += format_text("; {} validations of {}", work.validations(work.generations), work.validation.size());
  if (!work.validation_reference.empty()) text += format_text(" + once {}", work.validation_reference.size());
  if (!work.calibration.empty()) text += format_text("; calibration {}", work.calibration.size());
  if (!work.shifts.empty()) text += format_text("; shifts of the bias {}", work.shifts.size());
  return text + format_text("; {} in all\n", work.items());
}

bool counts_gpus(const ItemTimes& times) {
  return times.device.starts_with("cuda") || times.device.find("H100") != std::string::npos;
}

std::string table_of(const Plan& plan) {
  const bool fails = std::ranges::any_of(plan.rows, [](auto& row) { return row.totals.failures > 0; });
  std::vector<std::vector<std::string>> lines{
      {"workers", "hours", counts_gpus(plan.times) ? "GPU-hours" : "worker-hours", "utilisation"}};
  if (fails) {
    for (const char* title : {"failures", "items lost", "redone hours"}) lines.front().emplace_back(title);
  }
  lines.front().emplace_back("queue traffic");
  for (const auto& row : plan.rows) {
    std::vector<std::string> cells{std::to_string(row.workers), hours(row.totals.seconds),
                                   hours(row.totals.seconds * static_cast<double>(row.workers)),
                                   fixed(100 * row.utilisation, 1) + " %"};
    if (fails) {
      cells.push_back(std::to_string(row.totals.failures));
      cells.push_back(std::to_string(row.totals.lost_items));
      cells.push_back(hours(row.totals.lost_seconds));
    }
    cells.push_back(format_bytes(static_cast<uint64_t>(row.queue_bytes)));
    lines.push_back(std::move(cells));
  }
  std::ostringstream out;
  for (const auto& line : lines) {
    for (size_t c = 0; c < line.size(); ++c) {
      size_t width = 0;
      for (const auto& other : lines) width = std::max(width, other[c].size());
      out << (c == 0 ? "" : "  ") << std::setw(static_cast<int>(width)) << line[c];
    }
    out << "\n";
  }
  return out.str();
}

}  // namespace

std::vector<int64_t> usual_workers() {
  std::vector<int64_t> list;
  for (int64_t workers = 1; workers <= 512; workers *= 2) list.push_back(workers);
  list.push_back(1000);
  return list;
}

int64_t item_bytes(const evolution::WorkItem& item) {
  // Eight numbers of its own, then members and (task, sample) pairs, eight bytes each, and hash and names.
  constexpr int64_t kOwn = 128;
  return kOwn + 8 * std::ssize(item.members) + 16 * std::ssize(item.samples) + std::ssize(item.payload);
}

Plan make_plan(const ExperimentConfig& config, std::vector<StageWork> works, ItemTimes times,
               const PlanOptions& options) {
  Plan plan;
  plan.works = std::move(works);
  plan.times = std::move(times);
  plan.checkpoints = checkpoints_of(plan.works);
  plan.assumptions = assumptions_of(config, options, plan.times);
  Simulation simulation(plan.works, plan.times, plan.assumptions);
  for (const int64_t workers : options.workers) {
    plan.rows.push_back(simulation.run({.workers = workers,
                                        .prefetch = options.prefetch,
                                        .lease_seconds = config.queue.lease_seconds,
                                        .failure_seconds = options.failure_seconds,
                                        .restart_seconds = options.restart_seconds,
                                        .result_seconds = plan.times.coordinator.result_seconds,
                                        .seed = options.seed}));
  }
  return plan;
}

nlohmann::ordered_json to_json(const ExperimentConfig& config, const Plan& plan) {
  using Json = nlohmann::ordered_json;
  Json json{{"name", config.name},
            {"memory",
             {{"policy", memory::memory_policy(config.memory)}, {"parameters", config.memory.parameters()}}},
            {"device", plan.times.device},
            {"stages", Json::array()}};
  for (const auto& work : plan.works) {
    Json stage{
        {"stage", work.name}, {"kind", work.evolves ? "evolve" : "evaluate"}, {"contexts", work.contexts}};
    if (work.evolves) {
      stage.update({{"optimizer", work.optimizer},
                    {"parameters", work.parameters},
                    {"population", work.population_size},
                    {"generations", work.generations},
                    {"validations", work.validations(work.generations)},
                    {"calibration_items", work.calibration.size()},
                    {"reevaluations", work.reevaluations},
                    {"population_items", work.population.size()},
                    {"later_population_items", work.population_of(1).size()},
                    {"reference_items", work.reference.size()},
                    {"validation_reference_items", work.validation_reference.size()},
                    {"validation_items", work.validation.size()},
                    {"shift_items", work.shifts.size()}});
    }
    stage["items"] = work.items();
    json["stages"].push_back(std::move(stage));
  }
  json["item_seconds"] = Json::array();
  for (const auto& [kind, times] : plan.times.kinds) {
    double sum = 0;
    for (const double seconds : times.seconds) sum += seconds;
    json["item_seconds"].push_back({{"stage", kind.stage},
                                    {"purpose", kind.purpose},
                                    {"variant", kind.variant},
                                    {"task", kind.task},
                                    {"members", kind.members},
                                    {"samples", kind.samples},
                                    {"mean", sum / static_cast<double>(times.seconds.size())},
                                    {"times", times.seconds.size()}});
  }
  const CoordinatorTimes& own = plan.times.coordinator;
  json["coordinator"] = {{"update_seconds", own.update_seconds},
                         {"checkpoint_seconds", own.checkpoint_seconds},
                         {"result_seconds", own.result_seconds},
                         {"checkpoint_bytes", own.checkpoint_bytes},
                         {"checkpoints", plan.checkpoints}};
  json["rows"] = Json::array();
  for (const auto& row : plan.rows) {
    json["rows"].push_back({{"workers", row.workers},
                            {"seconds", row.totals.seconds},
                            {"hours", row.totals.seconds / kHour},
                            {"worker_hours", row.totals.seconds / kHour * static_cast<double>(row.workers)},
                            {"utilisation", row.utilisation},
                            {"items", row.totals.items},
                            {"items_lost", row.totals.lost_items},
                            {"redone_hours", row.totals.lost_seconds / kHour},
                            {"failures", row.totals.failures},
                            {"queue_bytes", row.queue_bytes},
                            {"stage_seconds", row.stage_seconds}});
  }
  json["assumptions"] = plan.assumptions;
  return json;
}

std::string to_text(const ExperimentConfig& config, const Plan& plan) {
  std::string text =
      format_text("{}: policy {}, {} parameters; one worker is {}\n", config.name,
                  memory::memory_policy(config.memory), config.memory.parameters(), plan.times.device);
  for (const auto& work : plan.works) text += describe_work(work);
  text += format_text("\n{}", table_of(plan));
  if (plan.checkpoints > 0) {
    const auto each = static_cast<uint64_t>(plan.times.coordinator.checkpoint_bytes);
    text +=
        format_text("\nCheckpoints: {} of {} are written, {} in all; the newest {} stay.\n", plan.checkpoints,
                    format_bytes(each), format_bytes(each * static_cast<uint64_t>(plan.checkpoints)),
                    config.evolution.schedule.keep_checkpoints);
  }
  text += "\nAssumptions:\n";
  for (const auto& assumption : plan.assumptions) text += format_text("- {}\n", assumption);
  return text;
}

}  // namespace namm::experiments
