#include "tasks/scoring/scoring.h"

#include <algorithm>
#include <array>

#include "core/errors.h"
#include "core/text.h"
#include "tasks/scoring/score_choubun.h"
#include "tasks/scoring/score_infinitebench.h"
#include "tasks/scoring/score_longbench.h"

namespace namm::tasks {
namespace {

using nlohmann::ordered_json;

struct Benchmark {
  std::string_view name;
  ordered_json (*predictions)(const std::filesystem::path&, const std::optional<std::string>& dataset,
                              const ScoreSettings&);
  ordered_json (*cases)(const std::filesystem::path&, const ScoreSettings&);
};

constexpr std::array benchmarks = {
    Benchmark{"longbench", score_longbench, score_longbench_cases},
    Benchmark{"infinitebench", score_infinitebench, score_infinitebench_cases},
    Benchmark{"choubun", score_choubun, score_choubun_cases},
};

const Benchmark& find_benchmark(std::string_view name) {
  const auto found = std::ranges::find(benchmarks, name, &Benchmark::name);
  if (found == benchmarks.end()) {
    throw ConfigError(
        format_text("--benchmark {}: unknown; scored are {}", name, join(scorable_benchmarks(), ", ")));
  }
  return *found;
}

}  // namespace

std::vector<std::string> scorable_benchmarks() {
  std::vector<std::string> names;
  for (const Benchmark& benchmark : benchmarks) names.emplace_back(benchmark.name);
  return names;
}

ordered_json score_predictions(std::string_view benchmark, const std::filesystem::path& predictions,
                               const std::optional<std::string>& dataset, const ScoreSettings& settings) {
  return find_benchmark(benchmark).predictions(predictions, dataset, settings);
}

ordered_json score_cases(std::string_view benchmark, const std::filesystem::path& cases,
                         const ScoreSettings& settings) {
  return find_benchmark(benchmark).cases(cases, settings);
}

}  // namespace namm::tasks
