#include "evolution/optimizers/reevaluation.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "core/errors.h"
#include "evolution/optimizers/support.h"

namespace namm::evolution {
namespace {

const char* const kMark = "evaluated again";
constexpr double kQuantile = 0.1;  ///< theta / 2

/// The quantile of |j - rank|, j = 1..count, linear between its values.
double small_change(int64_t rank, int64_t count) {
  std::vector<double> changes;
  for (int64_t j = 1; j <= count; ++j) {
    changes.push_back(static_cast<double>(std::abs(j - rank)));
  }
  std::sort(changes.begin(), changes.end());
  const double place = kQuantile * static_cast<double>(count - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, changes.size() - 1);
  return changes[below] + (place - static_cast<double>(below)) * (changes[above] - changes[below]);
}

/// Rank of each member, 1 the best.
std::vector<int64_t> ranks_of(std::span<const double> fitness) {
  const std::vector<int64_t> order = rank_members(fitness);
  std::vector<int64_t> ranks(order.size());
  for (std::size_t place = 0; place < order.size(); ++place) {
    ranks[order[place]] = static_cast<int64_t>(place) + 1;
  }
  return ranks;
}

}  // namespace

double rank_change(std::span<const int64_t> before, std::span<const int64_t> after) {
  const auto count = static_cast<int64_t>(before.size());
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    sum += 2 * static_cast<double>(std::abs(before[i] - after[i])) - small_change(before[i], count) -
           small_change(after[i], count);
  }
  return sum / static_cast<double>(count);
}

Reevaluation::Reevaluation(std::unique_ptr<Optimizer> optimizer, int64_t members)
    : WrappedOptimizer(std::move(optimizer)), members_(members) {}

int64_t Reevaluation::population() const {
  return inner().population() + static_cast<int64_t>(earlier_ranks_.size());
}

std::vector<double> Reevaluation::ask() {
  std::vector<double> x = inner().ask();
  const int64_t count = std::min(members_, inner().population());
  first_.assign(x.begin(), x.begin() + count * dimension());
  x.insert(x.end(), again_.begin(), again_.end());
  asked_ = true;
  return x;
}

TellReport Reevaluation::tell(std::span<const double> fitness) {
  check_fitness_size("Reevaluation", fitness, population());
  if (!asked_) {
    ask();
  }
  asked_ = false;
  const std::span<const double> now = fitness.first(static_cast<std::size_t>(inner().population()));
  const std::span<const double> second = fitness.subspan(now.size());
  TellReport report = inner().tell(now);
  report.non_finite += count_non_finite(second);
  if (!report.updated) {
    return report;
  }
  if (!second.empty() && rank_change(earlier_ranks_, ranks_of(second)) > 0) {
    inner().scale_sigma(1 + 2 / (static_cast<double>(dimension()) + 10));
  }
  again_ = first_;
  earlier_ranks_ = ranks_of(now.first(first_.size() / static_cast<std::size_t>(dimension())));
  return report;
}

OptimizerState Reevaluation::state() const {
  OptimizerState state = inner().state();
  mark_kind(state, kMark);
  state.arrays.push_back(list_array("reevaluation_members", again_));
  state.arrays.push_back(list_array("reevaluation_ranks", {earlier_ranks_.begin(), earlier_ranks_.end()}));
  return state;
}

void Reevaluation::restore(const OptimizerState& state) {
  OptimizerState inside = without_mark(state, kMark);
  std::vector<double> again = list_of(state.arrays, "reevaluation_members");
  const std::vector<double> ranks = list_of(state.arrays, "reevaluation_ranks");
  const auto count = static_cast<int64_t>(ranks.size());
  if (count > members_ || static_cast<int64_t>(again.size()) != count * dimension()) {
    throw DataError("saved state of re-evaluations: another number of members than configured");
  }
  inner().restore(inside);
  again_ = std::move(again);
  earlier_ranks_.assign(ranks.begin(), ranks.end());
  asked_ = false;
}

}  // namespace namm::evolution
