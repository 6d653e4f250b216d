#include "evolution/generation_row.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <nlohmann/json.hpp>

namespace namm::evolution {

nlohmann::json to_json(const GenerationRow& row) {
  nlohmann::json json = {{"generation", row.generation},
                         {"stage", row.stage},
                         {"best", row.best},
                         {"mean", row.mean},
                         {"median", row.median},
                         {"sigma", row.sigma},
                         {"non_finite", row.non_finite},
                         {"cache_fraction", row.cache_fraction},
                         {"evaluations", row.evaluations},
                         {"reissued", row.reissued},
                         {"workers", row.workers},
                         {"seconds", row.seconds},
                         {"state_sha256", row.state_sha256}};
  if (row.validation) {
    json["validation"] = *row.validation;
  }
  for (const auto& [name, value] : row.extra) {
    json[name] = value;
  }
  return json;
}

void summarise(const std::vector<double>& fitness, GenerationRow& row) {
  std::vector<double> finite;
  std::copy_if(fitness.begin(), fitness.end(), std::back_inserter(finite),
               [](double f) { return std::isfinite(f); });
  row.non_finite = std::ssize(fitness) - std::ssize(finite);
  if (finite.empty()) {
    return;
  }
  double sum = 0;
  for (const double value : finite) {
    sum += value;
  }
  std::sort(finite.begin(), finite.end());
  const std::size_t half = finite.size() / 2;
  row.best = finite.back();
  row.mean = sum / static_cast<double>(finite.size());
  row.median = finite.size() % 2 == 1 ? finite[half] : (finite[half - 1] + finite[half]) / 2;
}

}  // namespace namm::evolution
