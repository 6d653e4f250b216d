#include "experiments/calibration_run.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>

#include "core/errors.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/text.h"
#include "evolution/optimizer_list.h"
#include "evolution/queues/threads.h"
#include "experiments/fitness.h"
#include "experiments/memory_source.h"

namespace namm::experiments {

namespace {

using evolution::Purpose;
using evolution::WorkItem;
using evolution::WorkResult;
using Clock = std::chrono::steady_clock;

/// Computes items with several in flight, and records their times.
class Bench {
 public:
  Bench(const StageWork& work, evolution::EvaluatorFactory factory, const MeasureOptions& options,
        ItemTimes& times, Progress& progress)
      : work_(work),
        options_(options),
        times_(times),
        progress_(progress),
        workers_(queue_, std::move(factory), options.threads) {}

  /// Results in the order of `items`, whose `id.index` this changes.
  std::vector<WorkResult> compute(std::vector<WorkItem> items) {
    for (size_t i = 0; i < items.size(); ++i) items[i].id.index = static_cast<int64_t>(i);
    std::vector<WorkResult> results(items.size());
    queue_.publish(items);
    for (size_t done = 0; done < items.size();) {
      for (auto& result : queue_.gather(std::chrono::milliseconds(100))) {
        if (result.failed()) {
          queue_.withdraw();
          throw_failure(result, format_text("{}: {}", evolution::describe(result.id), result.failure));
        }
        const auto place = static_cast<size_t>(result.id.index);
        results[place] = std::move(result);
        ++done;
        progress_.advance();
      }
    }
    return results;
  }

  /// Takes the times of the first items of every kind in `lists`; returns the results of the first of them.
  std::vector<WorkResult> measure(const std::vector<StageWork::Items>& lists) {
    std::map<ItemKind, std::vector<WorkItem>> by_kind;
    for (const auto& list : lists) {
      for (const auto& item : list) by_kind[kind_of(work_, item)].push_back(item);
    }
    if (by_kind.empty()) return {};
    if (!warm_) {
      // What a worker's first item costs once is no part of the others' time.
      compute(std::vector<WorkItem>(static_cast<size_t>(options_.threads), by_kind.begin()->second.front()));
      warm_ = true;
    }
    const auto start = Clock::now();
    auto first = round(by_kind, 0, 1);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    const auto fit =
        static_cast<int>(std::min<double>(options_.repeats - 1, options_.most_seconds / seconds));
    if (fit > 0) round(by_kind, 1, 1 + fit);
    return first;
  }

 private:
  std::vector<WorkResult> round(const std::map<ItemKind, std::vector<WorkItem>>& by_kind, int first,
                                int last) {
    std::vector<WorkItem> items;
    for (int i = first; i < last; ++i) {
      for (const auto& [kind, list] : by_kind) {
        // Spread over the list, so that members and samples differ.
        items.push_back(list[static_cast<size_t>(i) * list.size() / static_cast<size_t>(options_.repeats)]);
      }
    }
    auto results = compute(items);
    for (size_t i = 0; i < items.size(); ++i) {
      KindTimes& of_kind = times_.kinds[kind_of(work_, items[i])];
      of_kind.seconds.push_back(results[i].seconds);
      of_kind.result_bytes = std::ssize(evolution::encode(results[i]));
    }
    return results;
  }

  const StageWork& work_;
  const MeasureOptions& options_;
  ItemTimes& times_;
  Progress& progress_;
  bool warm_ = false;
  evolution::ThreadQueue queue_;
  evolution::WorkerThreads workers_;
};

/// `items` with candidates [rows, n] whose rows are those of `values` in turn.
StageWork::Items with_candidates(StageWork::Items items, const std::vector<double>& values,
                                 const std::string& shared) {
  if (items.empty()) return items;
  const auto bytes = std::make_shared<const std::string>(shared);
  std::shared_ptr<const evolution::CandidateMatrix> candidates;
  if (const auto& shape = items.front().candidates) {
    std::vector<double> rows;
    const auto wanted = static_cast<size_t>(shape->rows * shape->dimension);
    while (rows.size() < wanted) {
      const size_t count = std::min(values.size(), wanted - rows.size());
      rows.insert(rows.end(), values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count));
    }
    candidates = evolution::make_candidates(shape->rows, shape->dimension, rows);
  }
  for (auto& item : items) {
    item.shared = bytes;
    if (item.candidates) item.candidates = candidates;
  }
  return items;
}

/// Of the memory that items are measured with.
struct Measured {
  std::vector<double> population;  ///< [lambda, n] of generation 0
  std::vector<double> statistics;
};

/// Calibration items of a stage that has none: one sample of each task.
StageWork::Items short_calibration(const ExperimentConfig& config, const StageWork& work,
                                   const StageTasks& tasks) {
  return evolution::partition({work.index, Purpose::calibrate, 0, 0, 0}, nullptr,
                              SamplePlan(config.seed, tasks.pointers()).calibration(1), 1, 1);
}

Measured measure_evolve_stage(const ExperimentConfig& config, const StageWork& work,
                              const std::shared_ptr<const StageTasks>& tasks,
                              const evolution::EvaluatorFactory& factory, const MeasureOptions& options,
                              ItemTimes& times, Progress& progress) {
  const EvolveConfig& stage = *config.stages[static_cast<size_t>(work.index)].evolve;
  Bench bench(work, factory, options, times, progress);

  const auto calibrated = work.calibration.empty() ? bench.compute(short_calibration(config, work, *tasks))
                                                   : bench.measure({work.calibration});
  const MemoryProblem problem(stage, SamplePlan(config.seed, tasks->pointers()), {});
  Measured measured;
  measured.statistics = statistics_of(problem.merge_calibration(calibrated));
  const std::vector<double> zero(static_cast<size_t>(work.parameters), 0.0);
  measured.population = evolution::make_optimizer(config.evolution.optimizer, zero, config.seed)->ask();
  const std::string shared = to_bytes(measured.statistics);
  bench.measure({with_candidates(work.population, measured.population, shared),
                 with_candidates(work.later_population, measured.population, shared),
                 with_candidates(work.reference, {}, ""), with_candidates(work.validation_reference, {}, ""),
                 with_candidates(work.validation, measured.population, shared),
                 with_candidates(work.shifts, measured.population, shared)});
  return measured;
}

/// The memory that the run would give an evaluate stage, as far as it is there already.
memory::MemoryFile memory_of(const ExperimentConfig& config, const std::optional<Measured>& evolved,
                             ItemTimes& times) {
  if (!evolved) return find_memory(config.memory);
  memory::MemoryFile file;
  file.config = config.memory;
  file.parameters.assign(evolved->population.begin(),
                         evolved->population.begin() + config.memory.parameters());
  file.statistics = memory::FeatureStatistics::from_values(evolved->statistics);
  const std::string text =
      "Evaluate stages were measured with a member of generation 0 for a memory: one that has learned to "
      "forget more is faster.";
  if (std::ranges::find(times.assumptions, text) == times.assumptions.end())
    times.assumptions.push_back(text);
  return file;
}

void measure_evaluate_stage(const ExperimentConfig& config, const StageWork& work,
                            const evolution::EvaluatorFactory& factory,
                            const std::optional<Measured>& evolved, const MeasureOptions& options,
                            ItemTimes& times, Progress& progress) {
  const EvaluateConfig& stage = *config.stages[static_cast<size_t>(work.index)].evaluate;
  std::string shared;
  if (std::ranges::any_of(stage.policies, memory::needs_memory)) {
    const memory::MemoryFile memory = memory_of(config, evolved, times);
    shared = memory_bytes(&memory);
  }
  Bench bench(work, factory, options, times, progress);
  bench.measure({with_candidates(work.test, {}, shared)});
}

}  // namespace

ItemTimes measure_items(const RunContext& context, const std::vector<StageWork>& works,
                        const MeasureOptions& options) {
  const ExperimentConfig& config = context.config;
  const auto factory = make_run_evaluator(config, context.evaluation, context.stage_tasks);
  ItemTimes times;
  times.device = context.evaluation->archive().device().str();
  Progress progress("measure items", 0, "items");
  std::optional<Measured> evolved;
  for (const StageWork& work : works) {
    const auto& of_stage = context.stage_tasks[static_cast<size_t>(work.index)];
    if (work.evolves) {
      evolved = measure_evolve_stage(config, work, of_stage, factory, options, times, progress);
    } else {
      measure_evaluate_stage(config, work, factory, evolved, options, times, progress);
    }
  }
  progress.finish();
  times.assumptions.insert(
      times.assumptions.begin(),
      format_text(
          "Item times were measured on {} with {} item{} in flight, up to {} of each kind; every kind's "
          "are drawn from its own.",
          times.device, options.threads, options.threads == 1 ? "" : "s", options.repeats));
  if (evolved) {
    times.assumptions.emplace_back(
        "The population was that of generation 0: what later ones forget makes items faster, what they keep "
        "slower.");
  }
  return times;
}

}  // namespace namm::experiments
