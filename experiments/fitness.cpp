#include "experiments/fitness.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <stdexcept>

#include "core/errors.h"
#include "core/random.h"
#include "core/text.h"
#include "experiments/evaluation.h"
#include "memory/normalisation.h"

namespace namm::experiments {

namespace {

// Ids of generated training samples: seed, then generation and place. 2^18 seeds keep apart; a seed beyond
// that is folded.
constexpr int kSeedShift = 44;
constexpr uint64_t kSeeds = 1ULL << 18;
constexpr int64_t kCalibration = int64_t{1} << 43;

const char* const kStatistics = "feature_statistics";

struct TaskMean {
  double score = 0;
  double cache_fraction = 0;
  double cache_tokens = 0;
  int64_t samples = 0;
};

double score_of(const Outcome& outcome, const std::string& score) {
  return score == "exact" ? outcome.exact : outcome.log_likelihood;
}

/// In order of the tasks' indices.
std::map<int32_t, TaskMean> task_means(const evolution::RecordTable& table, int64_t row,
                                       const std::string& score) {
  std::map<int32_t, TaskMean> means;
  for (size_t i = 0; i < table.samples().size(); ++i) {
    const auto outcome = Outcome::from_values(table.at(row, static_cast<int64_t>(i)).values);
    TaskMean& mean = means[table.samples()[i].task];
    mean.score += score_of(outcome, score);
    mean.cache_fraction += outcome.cache_fraction;
    mean.cache_tokens += outcome.cache_tokens;
    ++mean.samples;
  }
  for (auto& [task, mean] : means) {
    const auto n = static_cast<double>(mean.samples);
    mean.score /= n;
    mean.cache_fraction /= n;
    mean.cache_tokens /= n;
  }
  return means;
}

}  // namespace

SamplePlan::SamplePlan(uint64_t seed, std::vector<const tasks::Task*> tasks)
    : seed_(seed), tasks_(std::move(tasks)) {}

std::vector<evolution::SampleId> SamplePlan::train(int64_t generation, int64_t per_task) const {
  std::vector<evolution::SampleId> ids;
  for (size_t t = 0; t < tasks_.size(); ++t) {
    const auto task = static_cast<int32_t>(t);
    const auto count = tasks_[t]->count(tasks::Split::train);
    if (!count) {
      const auto base = static_cast<int64_t>((seed_ % kSeeds) << kSeedShift) + generation * per_task;
      for (int64_t i = 0; i < per_task; ++i) ids.push_back({task, base + i});
      continue;
    }
    if (*count < per_task) {
      throw ConfigError(
          format_text("task {} has {} training samples, contexts_per_task asks for {}: lower it, or set "
                      "task.record_splits to disjoint or shared",
                      tasks_[t]->info().name, *count, per_task));
    }
    RandomStream stream({seed_, "samples/" + tasks_[t]->info().name, static_cast<uint64_t>(generation)});
    for (const int64_t id : stream.sample_without_replacement(*count, per_task)) ids.push_back({task, id});
  }
  return ids;
}

std::vector<evolution::SampleId> SamplePlan::calibration(int64_t per_task) const {
  std::vector<evolution::SampleId> ids;
  for (size_t t = 0; t < tasks_.size(); ++t) {
    const auto count = tasks_[t]->count(tasks::Split::train);
    const int64_t base = count ? 0 : static_cast<int64_t>((seed_ % kSeeds) << kSeedShift) + kCalibration;
    const int64_t wanted = count ? std::min(*count, per_task) : per_task;
    for (int64_t i = 0; i < wanted; ++i) ids.push_back({static_cast<int32_t>(t), base + i});
  }
  if (ids.empty())
    throw ConfigError("no training samples to calibrate on: set task.record_splits to disjoint or shared");
  return ids;
}

std::vector<evolution::SampleId> SamplePlan::first(tasks::Split split, int64_t per_task) const {
  std::vector<evolution::SampleId> ids;
  for (size_t t = 0; t < tasks_.size(); ++t) {
    const auto count = tasks_[t]->count(split);
    const int64_t wanted = count ? std::min(*count, per_task) : per_task;
    if (wanted == 0) {
      throw ConfigError(format_text("task {} has no {} samples: see task.record_splits",
                                    tasks_[t]->info().name, tasks::split_name(split)));
    }
    for (int64_t i = 0; i < wanted; ++i) ids.push_back({static_cast<int32_t>(t), i});
  }
  return ids;
}

void SamplePlan::try_out(tasks::Split split, const std::vector<evolution::SampleId>& ids,
                         const TokenCodec& codec) const {
  int32_t tried = -1;
  for (const auto& id : ids) {
    if (id.task != tried) tasks_[id.task]->sample(split, id.sample, codec);
    tried = id.task;
  }
}

evolution::Reduction reduce_outcomes(const evolution::RecordTable& table,
                                     const evolution::RecordTable* reference, const FitnessConfig& fitness) {
  constexpr double kSmall = 1e-7;
  if (fitness.needs_reference() && reference == nullptr)
    throw std::logic_error("a fitness relative to the full cache was asked for without its scores");
  const bool normalize = fitness.normalize == "full_cache";
  evolution::Reduction reduction;
  reduction.cache_fraction = 0;
  std::map<int32_t, TaskMean> base;
  if (fitness.needs_reference()) base = task_means(*reference, 0, fitness.score);
  double cache_tokens = 0;
  std::map<int32_t, double> task_scores;
  const auto rows = static_cast<double>(table.rows());
  for (int64_t row = 0; row < table.rows(); ++row) {
    const auto means = task_means(table, row, fitness.score);
    const auto tasks = static_cast<double>(means.size());
    double value = 0;
    double share = 0;
    for (const auto& [task, mean] : means) {
      const double unit = normalize ? base[task].score + kSmall : 1;
      value += mean.score / unit / tasks;
      if (fitness.shortfall_weight > 0) {
        // Not std::max, which would take a reference that is no number for no shortfall.
        const double shortfall = base[task].score - mean.score;
        value -= fitness.shortfall_weight * (shortfall < 0 ? 0 : shortfall) / unit / tasks;
      }
      share += mean.cache_fraction / tasks;
      cache_tokens += mean.cache_tokens / tasks / rows;
      task_scores[task] += mean.score / rows;
    }
    value -= fitness.cache_weight * share;
    reduction.fitness.push_back(std::isfinite(value) ? value : std::numeric_limits<double>::quiet_NaN());
    reduction.cache_fraction += share / rows;
  }
  reduction.extra.emplace_back("cache_tokens", cache_tokens);
  for (const auto& [task, mean] : task_scores)
    reduction.extra.emplace_back("task_" + std::to_string(task), mean);
  return reduction;
}

MemoryProblem::MemoryProblem(const EvolveConfig& stage, SamplePlan plan, evolution::NamedArrays statistics)
    : stage_(stage), plan_(std::move(plan)), statistics_(std::move(statistics)) {}

std::vector<evolution::SampleId> MemoryProblem::samples(int64_t generation) const {
  return plan_.train(generation, stage_.contexts_per_task);
}

std::vector<evolution::SampleId> MemoryProblem::validation_samples() const {
  if (stage_.validation.every == 0) return {};
  return plan_.first(tasks::Split::validation, stage_.validation.contexts_per_task);
}

std::vector<evolution::SampleId> MemoryProblem::calibration_samples() const {
  if (!statistics_.empty()) return {};
  return plan_.calibration(stage_.calibration.contexts_per_task);
}

evolution::NamedArrays MemoryProblem::merge_calibration(
    std::span<const evolution::WorkResult> results) const {
  if (results.empty()) return statistics_;
  memory::FeatureStatistics all;
  for (const auto& result : results) {
    const auto part = memory::FeatureStatistics::from_values(from_bytes(result.bytes));
    if (all.count == 0) {
      all = part;
    } else {
      all.merge(part);
    }
  }
  if (all.count == 0) {
    throw DataError(
        "calibration: no context came to an update, so the features' statistics are unknown; give longer "
        "contexts, or a smaller memory.period_tokens");
  }
  return to_arrays(all.to_values());
}

std::string MemoryProblem::shared_bytes(evolution::Purpose purpose,
                                        const evolution::NamedArrays& statistics) const {
  if (purpose == evolution::Purpose::calibrate || purpose == evolution::Purpose::reference) return "";
  return to_bytes(statistics_of(statistics));
}

evolution::Reduction MemoryProblem::reduce(const evolution::RecordTable& table,
                                           const evolution::RecordTable* reference) const {
  return reduce_outcomes(table, reference, stage_.fitness);
}

evolution::Reduction MemoryProblem::reduce_validation(const evolution::RecordTable& table,
                                                      const evolution::RecordTable* reference) const {
  return reduce_outcomes(table, reference, stage_.validation_fitness());
}

evolution::NamedArrays to_arrays(const std::vector<double>& statistics) {
  return {evolution::vector_array(kStatistics, statistics)};
}

std::vector<double> statistics_of(const evolution::NamedArrays& arrays) {
  return evolution::doubles_of(arrays, kStatistics);
}

std::string to_bytes(const std::vector<double>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double)};
}

std::vector<double> from_bytes(std::string_view bytes) {
  if (bytes.size() % sizeof(double) != 0) throw DataError("a work item's statistics are no list of numbers");
  std::vector<double> values(bytes.size() / sizeof(double));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

}  // namespace namm::experiments
