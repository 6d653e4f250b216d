#include "evolution/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace namm::evolution {

std::vector<int64_t> rank_members(std::span<const double> fitness) {
  std::vector<int64_t> order(fitness.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const bool a_finite = std::isfinite(fitness[a]), b_finite = std::isfinite(fitness[b]);
    if (a_finite != b_finite) {
      return a_finite;
    }
    return a_finite && fitness[a] > fitness[b];
  });
  return order;
}

}  // namespace namm::evolution
