#include "models/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/random.h"

namespace namm::models {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

// Everything below the k-th largest score becomes impossible.
void keep_top_k(std::vector<double>& scores, int64_t k) {
  if (k <= 0 || k >= std::ssize(scores)) return;
  std::vector<double> sorted = scores;
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
  const double least = sorted[static_cast<size_t>(k - 1)];
  for (double& score : scores) {
    if (score < least) score = kNever;
  }
}

// exp(score - largest), not normalised; their sum comes back.
double weigh(std::vector<double>& scores) {
  const double largest = *std::ranges::max_element(scores);
  double sum = 0;
  for (double& score : scores) sum += score = std::exp(score - largest);
  return sum;
}

// Of the most likely tokens, those after which `share` of `sum` is reached; the first one always stays.
void keep_top_p(std::vector<double>& weights, double sum, double share) {
  if (share >= 1) return;
  std::vector<size_t> order(weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return weights[a] > weights[b]; });
  double reached = 0;
  for (const size_t i : order) {
    const bool over = reached >= share * sum;
    reached += weights[i];
    if (over) weights[i] = 0;
  }
}

}  // namespace

Sampler::Sampler(SamplingOptions options) : options_(options) {
  TORCH_CHECK(std::isfinite(options_.temperature) && options_.temperature >= 0,
              "[sampling] the temperature must be 0 or more, is ", options_.temperature);
  TORCH_CHECK(options_.top_k >= 0, "[sampling] top_k must be 0 or more, is ", options_.top_k);
  TORCH_CHECK(options_.top_p > 0 && options_.top_p <= 1, "[sampling] top_p must be in (0, 1], is ",
              options_.top_p);
}

std::vector<int64_t> Sampler::choose(const at::Tensor& logits, std::span<const DrawPlace> places) const {
  TORCH_CHECK(logits.dim() == 2 && logits.size(0) == std::ssize(places) && logits.size(1) > 0,
              "[sampling] logits ", logits.sizes(), " for ", places.size(), " rows");
  std::vector<int64_t> ids;
  if (options_.temperature == 0) {
    const at::Tensor best = logits.argmax(1).to(at::kCPU);
    ids.assign(best.const_data_ptr<int64_t>(), best.const_data_ptr<int64_t>() + best.numel());
    return ids;
  }
  const at::Tensor all = logits.to(at::kCPU, at::kDouble).contiguous();
  const int64_t vocabulary = all.size(1);
  for (size_t r = 0; r < places.size(); ++r) {
    const double* const row = all.const_data_ptr<double>() + static_cast<int64_t>(r) * vocabulary;
    std::vector<double> weights(row, row + vocabulary);
    for (double& weight : weights) {
      TORCH_CHECK(!std::isnan(weight), "[sampling] row ", places[r].row, ": a logit is not a number");
      weight /= options_.temperature;
    }
    keep_top_k(weights, options_.top_k);
    keep_top_p(weights, weigh(weights), options_.top_p);
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    const double drawn = sum * RandomStream({.seed = options_.seed,
                                             .purpose = "sampling",
                                             .generation = static_cast<uint64_t>(places[r].token),
                                             .sample = static_cast<uint64_t>(places[r].row)})
                                   .uniform();
    double below = 0;
    int64_t chosen = -1;
    for (int64_t id = 0; id < vocabulary; ++id) {
      const double weight = weights[static_cast<size_t>(id)];
      if (weight <= 0) continue;
      chosen = id;  // where rounding leaves the draw at the very end: the last possible one
      below += weight;
      if (drawn < below) break;
    }
    ids.push_back(chosen);
  }
  return ids;
}

}  // namespace namm::models
