#include "evolution/optimizers/termination.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/errors.h"
#include "core/text.h"
#include "evolution/optimizers/support.h"

namespace namm::evolution {
namespace {

const char* const kMark = "ends by tolerances";
constexpr std::size_t kLongestHistory = 20000;
constexpr int64_t kShortestHistory = 10;  ///< generations that say something about convergence

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double range_of(std::span<const double> values) {
  const auto [smallest, largest] = std::minmax_element(values.begin(), values.end());
  return *largest - *smallest;
}

}  // namespace

TerminatingOptimizer::TerminatingOptimizer(std::unique_ptr<Optimizer> optimizer, Tolerances tolerances)
    : WrappedOptimizer(std::move(optimizer)),
      tolerances_(tolerances),
      sigma_0_(inner().sigma()),
      recent_(10 + 30 * inner().dimension() / inner().population()) {}

TellReport TerminatingOptimizer::tell(std::span<const double> fitness) {
  if (!stop_.empty()) {
    check_fitness_size("TerminatingOptimizer", fitness, population());
    return {false, count_non_finite(fitness)};
  }
  const TellReport report = inner().tell(fitness);
  if (!report.updated) {
    return report;
  }
  std::vector<double> costs;
  for (const double value : fitness) {
    if (std::isfinite(value)) {
      costs.push_back(-value);
    }
  }
  // A member without a value makes the generation's range infinite: nothing has converged.
  range_ = costs.size() < fitness.size() ? INFINITY : range_of(costs);
  flat_ = range_ == 0 ? flat_ + 1 : 0;
  best_.push_back(*std::min_element(costs.begin(), costs.end()));
  median_.push_back(median_of(std::move(costs)));
  for (std::vector<double>* history : {&best_, &median_}) {
    if (history->size() > kLongestHistory) {
      history->erase(history->begin());
    }
  }
  ++generations_;
  stop_ = reason();
  return report;
}

std::string TerminatingOptimizer::reason() const {
  if (generations_ == 0) {
    return {};
  }
  const std::string of_values = reason_of_values();
  if (!of_values.empty()) {
    return of_values;
  }
  const std::string of_distribution = reason_of_distribution();
  if (!of_distribution.empty()) {
    return of_distribution;
  }
  const auto n = static_cast<double>(dimension());
  const double most = 100 + 150 * (n + 3) * (n + 3) / std::sqrt(static_cast<double>(population()));
  if (static_cast<double>(generations_) >= most) {
    return format_text("maxiter: {} generations, the most for {} parameters and a population of {}",
                       generations_, dimension(), population());
  }
  return {};
}

std::string TerminatingOptimizer::reason_of_values() const {
  const Tolerances& t = tolerances_;
  const auto known = static_cast<int64_t>(best_.size());
  const double recent = range_of(std::span(best_).last(static_cast<std::size_t>(std::min(known, recent_))));
  if (flat_ > t.flat_generations) {
    return format_text("flatfitness: all members of {} generations in a row are worth the same", flat_);
  }
  if (known < kShortestHistory) {
    return {};
  }
  if (range_ < t.tolfun && recent < t.tolfun) {
    return format_text("tolfun: the values of a generation and the best ones of the last {} lie within {}",
                       std::min(known, recent_), t.tolfun);
  }
  if (recent < t.tolfunhist) {
    return format_text("tolfunhist: the best values of the last {} generations lie within {}",
                       std::min(known, recent_), t.tolfunhist);
  }
  if (stagnates()) {
    return format_text("stagnation: best and median of {} generations are no better than before",
                       best_.size());
  }
  return {};
}

/// Medians over the newest l generations against the l before them (pycma).
bool TerminatingOptimizer::stagnates() const {
  const auto n = static_cast<double>(dimension()), lambda = static_cast<double>(population());
  const double waiting = std::floor(100 + 100 * std::pow(n, 1.5) / lambda);
  const auto known = static_cast<double>(best_.size());
  const double length = std::floor(std::max(waiting / 10, known / 10));
  if (static_cast<double>(generations_) <= n * (5 + 100 / lambda) || known <= 100 || 2 * length >= known) {
    return false;
  }
  const auto l = static_cast<std::ptrdiff_t>(length);
  for (const std::vector<double>* history : {&best_, &median_}) {
    const double now = median_of({history->end() - l, history->end()});
    const double before = median_of({history->end() - 2 * l, history->end() - l});
    if (now < before) {
      return false;
    }
  }
  return true;
}

std::string TerminatingOptimizer::reason_of_distribution() const {
  const Tolerances& t = tolerances_;
  const SearchDistribution distribution = inner().distribution(generations_);
  const std::span<const double> mean = inner().mean();
  const auto below = [&](double value) { return std::abs(value) < t.tolx; };
  const std::vector<double>& deviations = distribution.deviations;
  if (std::all_of(deviations.begin(), deviations.end(), below) &&
      std::all_of(distribution.path.begin(), distribution.path.end(), below)) {
    return format_text("tolx: every deviation is below {}", t.tolx);
  }
  const double widest = *std::max_element(deviations.begin(), deviations.end());
  if (widest > t.tolfacupx * sigma_0_) {
    return format_text("tolfacupx: a deviation of {} is more than {} times the initial step size {}", widest,
                       t.tolfacupx, sigma_0_);
  }
  if (distribution.condition > t.condition) {
    return format_text("conditioncov: the condition number of the covariance, {}, is above {}",
                       distribution.condition, t.condition);
  }
  bool along_axis = !distribution.axis.empty();
  for (std::size_t i = 0; i < mean.size(); ++i) {
    if (mean[i] == mean[i] + 0.2 * deviations[i]) {
      return format_text("noeffectcoord: a fifth of a deviation does not change parameter {}", i);
    }
    along_axis = along_axis && mean[i] == mean[i] + 0.1 * distribution.axis[i];
  }
  if (along_axis) {
    return format_text("noeffectaxis: a tenth of a deviation along principal axis {} changes no parameter",
                       generations_ % dimension());
  }
  return {};
}

OptimizerState TerminatingOptimizer::state() const {
  OptimizerState state = inner().state();
  mark_kind(state, kMark);
  state.arrays.push_back(scalar_array("termination_generations", generations_));
  state.arrays.push_back(scalar_array("termination_flat", flat_));
  state.arrays.push_back(scalar_array("termination_range", range_));
  state.arrays.push_back(scalar_array("termination_sigma_0", sigma_0_));
  state.arrays.push_back(scalar_array("termination_stopped", int64_t{stop_.empty() ? 0 : 1}));
  state.arrays.push_back(list_array("termination_best", best_));
  state.arrays.push_back(list_array("termination_median", median_));
  return state;
}

void TerminatingOptimizer::restore(const OptimizerState& state) {
  OptimizerState inside = without_mark(state, kMark);
  const NamedArrays& arrays = state.arrays;
  const auto generations = integer_of(arrays, "termination_generations");
  const auto flat = integer_of(arrays, "termination_flat");
  const auto stopped = integer_of(arrays, "termination_stopped");
  const double range = double_of(arrays, "termination_range");
  const double sigma_0 = double_of(arrays, "termination_sigma_0");
  std::vector<double> best = list_of(arrays, "termination_best");
  std::vector<double> median = list_of(arrays, "termination_median");
  if (best.size() != median.size() || !(sigma_0 > 0) || flat < 0 ||
      static_cast<std::size_t>(std::min<int64_t>(generations, kLongestHistory)) != best.size()) {
    throw DataError("saved state of the termination: generations, histories or step size are out of range");
  }
  inner().restore(inside);
  generations_ = generations;
  flat_ = flat;
  range_ = range;
  sigma_0_ = sigma_0;
  best_ = std::move(best);
  median_ = std::move(median);
  // What a restored optimiser tells of its distribution may differ in the last digits: the flag decides.
  stop_.clear();
  if (stopped != 0) {
    const std::string again = reason();
    stop_ = again.empty() ? "ended by a tolerance before it was saved" : again;
  }
}

std::optional<std::string> TerminatingOptimizer::stop() const {
  return stop_.empty() ? inner().stop() : std::optional(stop_);
}

}  // namespace namm::evolution
