#include "evolution/optimizers/mean_average.h"

#include <algorithm>
#include <utility>

#include "core/errors.h"

namespace namm::evolution {
namespace {

const char* const kMark = "averaged";
const char* const kSearchMean = "average_search_mean";

}  // namespace

MeanAverage::MeanAverage(std::unique_ptr<Optimizer> optimizer, int64_t generations)
    : WrappedOptimizer(std::move(optimizer)),
      generations_(generations),
      average_(inner().mean().begin(), inner().mean().end()) {}

TellReport MeanAverage::tell(std::span<const double> fitness) {
  const TellReport report = inner().tell(fitness);
  if (report.updated) {
    ++count_;
    const auto divisor = static_cast<double>(std::min(count_, generations_));
    const std::span<const double> mean = inner().mean();
    for (std::size_t i = 0; i < average_.size(); ++i) {
      average_[i] += (mean[i] - average_[i]) / divisor;
    }
  }
  return report;
}

OptimizerState MeanAverage::state() const {
  OptimizerState state = inner().state();
  mark_kind(state, kMark);
  put_answer(state, kSearchMean, average_);
  state.arrays.push_back(scalar_array("average_count", count_));
  return state;
}

void MeanAverage::restore(const OptimizerState& state) {
  OptimizerState inside = without_mark(state, kMark);
  const auto count = integer_of(state.arrays, "average_count");
  std::vector<double> average = doubles_of(state.arrays, "mean", dimension());
  if (count < 0) {
    throw DataError("saved state of the averaged mean: average_count is below 0");
  }
  inner().restore(without_answer(std::move(inside), kSearchMean));
  count_ = count;
  average_ = std::move(average);
}

}  // namespace namm::evolution
