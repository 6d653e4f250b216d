#include "evolution/optimizers/random_search.h"

#include <algorithm>
#include <utility>

#include "evolution/optimizers/support.h"

namespace namm::evolution {

RandomSearch::RandomSearch(int64_t population, double sigma, std::span<const double> mean, uint64_t seed)
    : LinearOptimizer(population, sigma, mean, seed), start_(mean_) {}

void RandomSearch::draw(int64_t member, std::span<double> x) const {
  if (member == 0) {
    std::copy(mean_.begin(), mean_.end(), x.begin());
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
  asked_ = true;
  return x;
}

bool RandomSearch::update(std::span<const int64_t> order) {
  std::vector<double> x(static_cast<std::size_t>(n_));
  draw(order.front(), x);
  if (all_finite(x)) {
    mean_ = std::move(x);
  }
  return true;
}

NamedArrays RandomSearch::own_arrays() const {
  return {vector_array("start", start_)};
}

void RandomSearch::restore_own(const NamedArrays& arrays, int64_t) {
  start_ = doubles_of(arrays, "start", n_);
}

SearchDistribution RandomSearch::distribution(int64_t) const {
  SearchDistribution distribution;
  distribution.deviations.assign(mean_.size(), sigma_);
  return distribution;
}

}  // namespace namm::evolution
