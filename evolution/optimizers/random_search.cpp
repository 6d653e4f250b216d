#include "evolution/optimizers/random_search.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"
#include "core/text.h"
#include "evolution/optimizers/support.h"

namespace namm::evolution {

RandomSearch::RandomSearch(int64_t population, double sigma, std::span<const double> mean, uint64_t seed)
    : n_(static_cast<int64_t>(mean.size())),
      lambda_(population),
      seed_(seed),
      sigma_0_(sigma),
      sigma_(sigma),
      start_(mean.begin(), mean.end()),
      best_(start_) {}

void RandomSearch::draw(int64_t member, std::span<double> x) const {
  if (member == 0) {
    std::copy(best_.begin(), best_.end(), x.begin());
    return;
  }
  draw_normals(seed_, generation_, member, x);
  for (int64_t i = 0; i < n_; ++i) {
    x[i] = start_[i] + sigma_ * x[i];
  }
}

std::vector<double> RandomSearch::ask() {
  std::vector<double> x(static_cast<std::size_t>(lambda_ * n_));
  for (int64_t member = 0; member < lambda_; ++member) {
    draw(member, std::span(x).subspan(member * n_, n_));
  }
  return x;
}

TellReport RandomSearch::tell(std::span<const double> fitness) {
  check_fitness_size("RandomSearch", fitness, lambda_);
  TellReport report;
  report.non_finite = count_non_finite(fitness);
  report.updated = report.non_finite < lambda_;
  if (report.updated) {
    const int64_t best = rank_members(fitness).front();
    std::vector<double> x(static_cast<std::size_t>(n_));
    draw(best, x);
    if (all_finite(x)) {
      best_ = std::move(x);
    }
  }
  ++generation_;
  return report;
}

OptimizerState RandomSearch::state() const {
  return {kind(),
          {scalar_array("population", lambda_), scalar_array("generation", generation_),
           scalar_array("seed", static_cast<int64_t>(seed_)), scalar_array("sigma", sigma_),
           scalar_array("sigma_0", sigma_0_), vector_array("start", start_), vector_array("mean", best_)}};
}

void RandomSearch::restore(const OptimizerState& state) {
  const NamedArrays& arrays = state.arrays;
  if (state.kind != kind()) {
    throw DataError(format_text("saved state is of optimiser \"{}\", expected \"{}\"", state.kind, kind()));
  }
  check_saved_size(arrays, n_, lambda_);
  const auto generation = integer_of(arrays, "generation");
  const auto seed = integer_of(arrays, "seed");
  const double sigma = double_of(arrays, "sigma"), sigma_0 = double_of(arrays, "sigma_0");
  const auto& start = doubles_of(arrays, "start", n_);
  if (generation < 0 || !(sigma > 0) || !(sigma_0 > 0)) {
    throw DataError("saved state of random-search: generation or sigma is out of range");
  }
  generation_ = generation;
  seed_ = static_cast<uint64_t>(seed);
  sigma_ = sigma;
  sigma_0_ = sigma_0;
  start_ = start;
  best_ = doubles_of(arrays, "mean", n_);
}

std::optional<std::string> RandomSearch::alarm() const {
  return sigma_alarm(sigma_, sigma_0_);
}

SearchDistribution RandomSearch::distribution(int64_t) const {
  SearchDistribution distribution;
  distribution.deviations.assign(best_.size(), sigma_);
  return distribution;
}

}  // namespace namm::evolution
