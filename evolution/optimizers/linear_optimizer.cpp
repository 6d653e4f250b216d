#include "evolution/optimizers/linear_optimizer.h"

#include <utility>

#include "core/errors.h"
#include "core/text.h"
#include "evolution/optimizers/support.h"

namespace namm::evolution {

LinearOptimizer::LinearOptimizer(int64_t population, double sigma, std::span<const double> mean,
                                 uint64_t seed)
    : n_(static_cast<int64_t>(mean.size())),
      lambda_(population),
      seed_(seed),
      sigma_0_(sigma),
      sigma_(sigma),
      mean_(mean.begin(), mean.end()) {}

std::vector<double> LinearOptimizer::draw_members() const {
  std::vector<double> draws(static_cast<std::size_t>(lambda_ * n_));
  for (int64_t member = 0; member < lambda_; ++member) {
    draw_normals(seed_, generation_, member, std::span(draws).subspan(member * n_, n_));
  }
  return draws;
}

bool LinearOptimizer::overflow() {
  stop_ =
      format_text("non-finite state: the update of generation {} overflows (sigma {})", generation_, sigma_);
  return false;
}

TellReport LinearOptimizer::tell(std::span<const double> fitness) {
  check_fitness_size(kind().c_str(), fitness, lambda_);
  if (!asked_) {
    ask();
  }
  asked_ = false;
  TellReport report;
  report.non_finite = count_non_finite(fitness);
  report.updated = stop_.empty() && report.non_finite < lambda_ && update(rank_members(fitness));
  generation_ += stop_.empty() ? 1 : 0;
  return report;
}

OptimizerState LinearOptimizer::state() const {
  OptimizerState state{kind(),
                       {scalar_array("population", lambda_), scalar_array("generation", generation_),
                        scalar_array("seed", static_cast<int64_t>(seed_)), scalar_array("sigma", sigma_),
                        scalar_array("sigma_0", sigma_0_), vector_array("mean", mean_)}};
  for (NamedArray& array : own_arrays()) {
    state.arrays.push_back(std::move(array));
  }
  return state;
}

void LinearOptimizer::restore(const OptimizerState& state) {
  const NamedArrays& arrays = state.arrays;
  if (state.kind != kind()) {
    throw DataError(format_text("saved state is of optimiser \"{}\", expected \"{}\"", state.kind, kind()));
  }
  check_saved_size(arrays, n_, lambda_);
  const auto generation = integer_of(arrays, "generation");
  const auto seed = integer_of(arrays, "seed");
  const double sigma = double_of(arrays, "sigma"), sigma_0 = double_of(arrays, "sigma_0");
  const auto& mean = doubles_of(arrays, "mean", n_);
  if (generation < 0 || !(sigma > 0) || !(sigma_0 > 0)) {
    throw DataError(format_text("saved state of {}: generation or sigma is out of range", kind()));
  }
  restore_own(arrays, generation);
  generation_ = generation;
  seed_ = static_cast<uint64_t>(seed);
  sigma_ = sigma;
  sigma_0_ = sigma_0;
  mean_ = mean;
  asked_ = false;
  stop_.clear();
}

std::optional<std::string> LinearOptimizer::stop() const {
  return stop_.empty() ? std::nullopt : std::optional(stop_);
}

std::optional<std::string> LinearOptimizer::alarm() const {
  return sigma_alarm(sigma_, sigma_0_);
}

}  // namespace namm::evolution
