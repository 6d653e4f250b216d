#include "tasks/scoring/summary.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>

namespace namm::tasks {
namespace {

using nlohmann::ordered_json;

double pairwise_sum(const double* values, size_t n) {
  if (n < 8) return std::accumulate(values, values + n, 0.0);
  if (n <= 128) {
    double sums[8];
    std::copy(values, values + 8, sums);
    size_t i = 8;
    for (; i < n - n % 8; i += 8) {
      for (size_t j = 0; j < 8; ++j) sums[j] += values[i + j];
    }
    double total = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    for (; i < n; ++i) total += values[i];
    return total;
  }
  const size_t half = n / 2 - (n / 2) % 8;
  return pairwise_sum(values, half) + pairwise_sum(values + half, n - half);
}

}  // namespace

ordered_json to_json(const std::optional<double>& score) {
  return score ? ordered_json(*score) : ordered_json();
}

ordered_json to_json(const Scores& scores) {
  ordered_json list = ordered_json::array();
  for (const auto& score : scores) list.push_back(to_json(score));
  return list;
}

void report_skipped(ordered_json& entry, const SkippedRecords& skipped) {
  if (skipped.count == 0) return;
  entry["skipped_records"] = skipped.count;
  entry["skipped_reasons"] = skipped.first_reasons;
}

void report_raised(ordered_json& entry, const Scores& scores) {
  const auto raised = std::ranges::count_if(scores, [](const auto& score) { return !score; });
  if (raised > 0) entry["raised"] = raised;
}

std::optional<std::vector<double>> all_present(const Scores& scores) {
  std::vector<double> present;
  for (const auto& score : scores) {
    if (!score) return std::nullopt;
    present.push_back(*score);
  }
  return present;
}

std::optional<double> mean(const std::vector<double>& scores) {
  if (scores.empty()) return std::nullopt;
  return std::accumulate(scores.begin(), scores.end(), 0.0) / static_cast<double>(scores.size());
}

double mean_percentage(const std::vector<double>& scores) {
  return 100 * std::accumulate(scores.begin(), scores.end(), 0.0) / static_cast<double>(scores.size());
}

double official_percentage(const std::vector<double>& scores) {
  const double total = std::accumulate(scores.begin(), scores.end(), 0.0);
  // Python's round(x, 2) is the decimal nearest to the exact binary value, which is what printing with two
  // digits gives.
  char text[64];
  std::snprintf(text, sizeof text, "%.2f", 100 * total / static_cast<double>(scores.size()));
  return std::strtod(text, nullptr);
}

double official_bucket_percentage(const std::vector<double>& scores) {
  const double mean = pairwise_sum(scores.data(), scores.size()) / static_cast<double>(scores.size());
  return std::nearbyint(100 * mean * 100) / 100;
}

}  // namespace namm::tasks
