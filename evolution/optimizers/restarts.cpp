#include "evolution/optimizers/restarts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/errors.h"
#include "core/random.h"
#include "core/text.h"

namespace namm::evolution {
namespace {

const char* const kMark = "restarts";
constexpr double kNone = -std::numeric_limits<double>::infinity();
const char* const kSearchMean = "restart_search_mean";

}  // namespace

RestartingOptimizer::RestartingOptimizer(RestartSettings settings, std::span<const double> mean,
                                         uint64_t seed, Factory factory)
    : WrappedOptimizer(factory(settings.population, settings.sigma, mean, seed)),
      settings_(settings),
      start_(mean.begin(), mean.end()),
      seed_(seed),
      factory_(std::move(factory)),
      run_best_(kNone),
      earlier_best_(kNone),
      earlier_mean_(start_) {}

bool RestartingOptimizer::answers_itself() const {
  return run_best_ >= earlier_best_;
}

std::span<const double> RestartingOptimizer::mean() const {
  return answers_itself() ? inner().mean() : std::span<const double>(earlier_mean_);
}

TellReport RestartingOptimizer::tell(std::span<const double> fitness) {
  const bool stopped = !stop_.empty();
  const TellReport report = inner().tell(fitness);
  if (stopped) {
    return report;
  }
  ++generation_;
  const auto count = static_cast<int64_t>(fitness.size());
  run_evaluations_ += count;
  (small_ ? small_evaluations_ : large_evaluations_) += count;
  for (const double value : fitness) {
    if (std::isfinite(value)) {
      run_best_ = std::max(run_best_, value);
    }
  }
  if (const auto reason = inner().stop()) {
    begin_next_run(*reason);
  } else if (run_limit_ > 0 && run_evaluations_ >= run_limit_) {
    begin_next_run(format_text("budget: a run of a small population has {} evaluations", run_limit_));
  }
  return report;
}

int64_t RestartingOptimizer::rounded(double population) const {
  auto members = std::max<int64_t>(4, static_cast<int64_t>(std::floor(population)));
  return members + (settings_.even_population ? members % 2 : 0);
}

bool RestartingOptimizer::is_last_run() const {
  return run_ - small_runs_ >= settings_.restarts;
}

std::string RestartingOptimizer::end_of_restarts(const std::string& reason) const {
  return format_text("restarts: all {} were made; the last run ended by {}", settings_.restarts, reason);
}

void RestartingOptimizer::begin_next_run(const std::string& reason) {
  if (is_last_run()) {
    stop_ = end_of_restarts(reason);
    return;
  }
  if (answers_itself()) {
    earlier_best_ = run_best_;
    earlier_mean_.assign(inner().mean().begin(), inner().mean().end());
  }
  ++run_;
  RandomStream stream({.seed = seed_, .purpose = "restart", .generation = static_cast<uint64_t>(run_)});
  const uint64_t seed = stream.uint64();
  const double shape = stream.uniform(), shrink = stream.uniform();
  small_ = settings_.scheme == RestartScheme::bipop && small_evaluations_ < large_evaluations_;
  small_runs_ += small_ ? 1 : 0;
  const double growth = std::pow(2.0, static_cast<double>(run_ - small_runs_));
  const auto first = static_cast<double>(settings_.population);
  const int64_t population =
      small_ ? rounded(first * std::pow(growth / 2, shape * shape)) : rounded(first * growth);
  const double sigma = settings_.sigma * (small_ ? std::pow(10.0, -2 * shrink) : 1);
  run_limit_ = small_ ? std::max<int64_t>(1, large_evaluations_ / 2) : 0;
  run_evaluations_ = 0;
  run_best_ = kNone;
  last_reason_ = reason;
  std::vector<double> mean = start_;
  for (double& value : mean) {
    value += settings_.radius * (2 * stream.uniform() - 1);
  }
  replace_inner(factory_(population, sigma, mean, seed));
}

OptimizerState RestartingOptimizer::state() const {
  OptimizerState state = inner().state();
  mark_kind(state, kMark);
  put_answer(state, kSearchMean, mean());
  NamedArrays& arrays = state.arrays;
  arrays.push_back(scalar_array("restart_population", settings_.population));
  arrays.push_back(scalar_array("restart_current_population", inner().population()));
  arrays.push_back(scalar_array("restart_seed", static_cast<int64_t>(seed_)));
  arrays.push_back(
      vector_array("restart_counts",
                   std::vector<int64_t>{generation_, run_, small_runs_, int64_t{small_}, large_evaluations_,
                                        small_evaluations_, run_evaluations_, run_limit_}));
  arrays.push_back(vector_array("restart_start", start_));
  arrays.push_back(scalar_array("restart_sigma", settings_.sigma));
  arrays.push_back(scalar_array("restart_run_best", run_best_));
  arrays.push_back(scalar_array("restart_earlier_best", earlier_best_));
  arrays.push_back(vector_array("restart_earlier_mean", earlier_mean_));
  return state;
}

void RestartingOptimizer::restore(const OptimizerState& state) {
  OptimizerState inside = without_mark(state, kMark);
  const NamedArrays& arrays = state.arrays;
  const auto first_population = integer_of(arrays, "restart_population");
  const auto population = integer_of(arrays, "restart_current_population");
  const auto seed = integer_of(arrays, "restart_seed");
  const std::vector<int64_t>& counts = integers_of(arrays, "restart_counts", 8);
  const auto& start = doubles_of(arrays, "restart_start", dimension());
  const double sigma = double_of(arrays, "restart_sigma");
  const double run_best = double_of(arrays, "restart_run_best");
  const double earlier_best = double_of(arrays, "restart_earlier_best");
  const auto& earlier_mean = doubles_of(arrays, "restart_earlier_mean", dimension());
  doubles_of(arrays, "mean", dimension());
  if (first_population != settings_.population || population < 2 || !(sigma > 0) ||
      std::any_of(counts.begin(), counts.end(), [](int64_t count) { return count < 0; })) {
    throw DataError(
        format_text("saved state of restarts: begun with a population of {}, expected {}; or a count is out "
                    "of range",
                    first_population, settings_.population));
  }
  // Seed, step size and mean come with the state.
  std::unique_ptr<Optimizer> run = factory_(population, sigma, start, static_cast<uint64_t>(seed));
  run->restore(without_answer(std::move(inside), kSearchMean));
  replace_inner(std::move(run));
  seed_ = static_cast<uint64_t>(seed);
  settings_.sigma = sigma;
  start_ = start;
  generation_ = counts[0];
  run_ = counts[1];
  small_runs_ = counts[2];
  small_ = counts[3] != 0;
  large_evaluations_ = counts[4];
  small_evaluations_ = counts[5];
  run_evaluations_ = counts[6];
  run_limit_ = counts[7];
  run_best_ = run_best;
  earlier_best_ = earlier_best;
  earlier_mean_ = earlier_mean;
  last_reason_.clear();
  const auto reason = inner().stop();
  stop_ = reason && is_last_run() ? end_of_restarts(*reason) : "";
}

std::optional<std::string> RestartingOptimizer::stop() const {
  return stop_.empty() ? std::nullopt : std::optional(stop_);
}

}  // namespace namm::evolution
