#include "tasks/metrics/retrieval.h"

#include <algorithm>

namespace namm::tasks {

double number_share(TextView prediction, TextView number) {
  const std::vector<Text> numbers = digit_runs(prediction);
  if (numbers.empty()) return 0.0;
  const auto right = std::ranges::count_if(numbers, [&](const Text& n) { return n == number; });
  return static_cast<double>(right) / static_cast<double>(numbers.size());
}

std::optional<double> retrieval(TextView prediction, TextView gold, TextView marker) {
  for (size_t at = gold.find(marker); at != TextView::npos; at = gold.find(marker, at + 1)) {
    const size_t start = at + marker.size();
    size_t end = start;
    while (end < gold.size() && is_decimal_digit(gold[end])) ++end;
    if (end > start) return number_share(prediction, gold.substr(start, end - start));
  }
  return std::nullopt;
}

}  // namespace namm::tasks
