#include <algorithm>
#include <iostream>
#include <iterator>
#include <memory>

#include <CLI/CLI.hpp>

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include "core/errors.h"
#include "core/log.h"
#include "core/text.h"
#include "experiments/bench_models.h"
#include "experiments/bench_report.h"
#include "experiments/bench_transformers.h"
#include "experiments/commands/command.h"
#include "experiments/run.h"
#include "tests/bench/layer_cases.h"

namespace namm::experiments {

namespace {

struct Options {
  CommonOptions common;
  std::vector<std::string> names;
  bool quick = false;
  bool json = false;
  int repeats = 0;
};

// Names all cases that compare whole models with transformers.
constexpr const char* kModels = "models";

std::vector<bench::Case> all_cases() {
  std::vector<bench::Case> cases = bench::layer_cases();
  for (std::vector<bench::Case> more : {model_cases(), transformers_cases()})
    std::move(more.begin(), more.end(), std::back_inserter(cases));
  return cases;
}

std::vector<std::string> names_of(const std::vector<bench::Case>& cases) {
  std::vector<std::string> names;
  for (const auto& one : cases) names.push_back(one.goal.name);
  return names;
}

/// In the order of the list. Throws ConfigError for a name that is not in it.
std::vector<bench::Case> chosen(std::vector<bench::Case> cases, const Options& options) {
  const std::vector<std::string> known = names_of(cases);
  std::vector<std::string> wanted;
  for (const std::string& name : options.names) {
    if (name == kModels) {
      const std::vector<std::string> all = names_of(transformers_cases());
      wanted.insert(wanted.end(), all.begin(), all.end());
      continue;
    }
    wanted.push_back(name);
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const auto meant = nearest(name, known);
    throw ConfigError("bench " + name + " is unknown" + (meant ? ", did you mean " + *meant + "?" : ".") +
                      " There are: " + join(known, ", ") + ", and " + kModels);
  }
  std::erase_if(cases, [&](const bench::Case& one) {
    if (wanted.empty()) return options.quick && !one.quick;
    return std::find(wanted.begin(), wanted.end(), one.goal.name) == wanted.end();
  });
  return cases;
}

void run_bench(const Options& options) {
  options.common.apply();
  if (options.common.device != "auto" && options.common.device != "cpu")
    throw ConfigError("--device " + options.common.device + ": bench measures the processor: auto or cpu");
  const std::vector<bench::Case> cases = chosen(all_cases(), options);
  const int threads = options.common.threads > 0 ? options.common.threads : default_threads();
  at::set_num_threads(threads);
  const c10::InferenceMode inference;
  bench::Settings settings;
  if (options.quick) settings.repeats.most = settings.repeats.least;
  if (options.repeats > 0) settings.repeats.most = settings.repeats.least = options.repeats;

  std::unique_ptr<BenchTable> table;
  if (!options.json) table = std::make_unique<BenchTable>(std::cout, BenchMachine::here(threads));
  auto document = nlohmann::ordered_json::array();
  std::vector<std::string> differ, failed;
  for (const bench::Case& one : cases) {
    const bench::Outcome outcome = bench::run_case(one, settings);
    if (!outcome.mismatch.empty()) {
      differ.push_back(one.goal.name);
      log_error(one.goal.name + ": ours and the baseline's results differ: " + outcome.mismatch);
    }
    if (!outcome.error.empty()) {
      failed.push_back(one.goal.name);
      log_error(one.goal.name + ": " + outcome.error);
    }
    if (table) table->add(outcome);
    document.push_back(to_json(outcome));
  }
  if (options.json) std::cout << document.dump(1) << "\n";
  std::cout.flush();
  if (!differ.empty()) {
    throw InfrastructureError("bench: results differ from the baseline's, so no time was taken: " +
                              join(differ, ", "));
  }
  if (!failed.empty()) throw InfrastructureError("bench: these ended with an error: " + join(failed, ", "));
}

}  // namespace

void add_bench(CLI::App& app, const std::vector<std::string>&, Action& action) {
  auto* command = app.add_subcommand(
      "bench", "Measure speed and memory against plain LibTorch programs, results compared first");
  auto options = std::make_shared<Options>();
  command->add_option("NAME", options->names,
                      join(names_of(all_cases()), ", ") + ", or models for the last four [all]");
  command->add_flag("--quick", options->quick,
                    "Three repeats; without names only what takes well below a minute");
  command->add_option("--repeats", options->repeats, "Times that each program runs; 0: by how long it takes")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  add_json_option(*command, options->json);
  add_common_options(*command, options->common);
  command->callback([options, &action] { action = [options] { run_bench(*options); }; });
}

}  // namespace namm::experiments
