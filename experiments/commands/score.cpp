#include <cmath>
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

#include "core/errors.h"
#include "core/text.h"
#include "experiments/commands/command.h"
#include "experiments/places.h"
#include "tasks/scoring/scoring.h"

namespace namm::experiments {

namespace {

struct Options {
  CommonOptions common;
  std::string benchmark;
  std::string predictions;
  std::string dataset;
  std::string cases;
  std::string data;
  std::vector<std::string> settings;
  int jobs = 1;
  bool json = false;
};

void print_skipped_records(const nlohmann::ordered_json& place) {
  if (!place.contains("skipped_records")) return;
  std::cout << "  left out " << place["skipped_records"] << " bad records:\n";
  for (const auto& reason : place["skipped_reasons"]) {
    std::cout << "    " << reason.get<std::string>() << "\n";
  }
}

void print_text(const nlohmann::ordered_json& document) {
  const auto text = [](const nlohmann::ordered_json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
  };
  for (const auto& entry : document.value("datasets", nlohmann::ordered_json::array())) {
    const size_t count =
        entry.contains("samples") ? entry["samples"].size() : entry.value("cases", entry).size();
    std::cout << text(entry.value("dataset", nlohmann::ordered_json("cases"))) << "  "
              << text(entry.value("metric", nlohmann::ordered_json())) << "  "
              << (entry.contains("score") ? text(entry["score"]) : std::string("-")) << "  (" << count
              << " samples";
    if (entry.contains("raised"))
      std::cout << ", " << entry["raised"] << " where the official function raises";
    std::cout << ")\n";
    print_skipped_records(entry);
  }
  print_skipped_records(document);
  for (const auto& entry : document.value("skipped", nlohmann::ordered_json::array())) {
    std::cout << text(entry["dataset"]) << "  skipped: " << text(entry["reason"]) << "\n";
  }
}

void score(const Options& options) {
  options.common.apply();
  if (options.predictions.empty() == options.cases.empty()) {
    throw ConfigError("score: name one of --predictions FILE|DIR and --cases FILE.jsonl");
  }
  if (!options.cases.empty() && !(options.dataset.empty() && options.data.empty())) {
    throw ConfigError(
        "score: --dataset and --data go with --predictions; the records of --cases name their own metric");
  }
  tasks::ScoreSettings settings = tasks::parse_score_settings(options.benchmark, options.settings);
  if (!settings.metric.segmenters) {
    settings.metric.segmenters = std::make_shared<const tasks::Segmenters>(dictionaries_folder());
  }
  settings.jobs = options.jobs;
  settings.data = options.data;
  const auto document =
      options.cases.empty()
          ? tasks::score_predictions(options.benchmark, options.predictions,
                                     options.dataset.empty() ? std::nullopt : std::optional(options.dataset),
                                     settings)
          : tasks::score_cases(options.benchmark, options.cases, settings);
  if (options.json) {
    std::cout << document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else {
    print_text(document);
  }
}

}  // namespace

void add_score(CLI::App& app, const std::vector<std::string>&, Action& action) {
  auto* command = app.add_subcommand("score", "Official metrics on stored predictions");
  auto options = std::make_shared<Options>();
  command->add_option("--benchmark", options->benchmark, join(tasks::scorable_benchmarks(), ", "))
      ->required();
  command->add_option("--predictions", options->predictions, "Predictions file (.jsonl) or a folder of them");
  command->add_option("--dataset", options->dataset, "Data set of a predictions file [the file's name]");
  command->add_option("--cases", options->cases, "Records that name their own metric (.jsonl)");
  command->add_option(
      "--data", options->data,
      "Folder of the benchmark's data: there must be as many predictions as records [not checked]");
  command->add_option("--set", options->settings, "key=value: " + tasks::describe_score_settings());
  command->add_flag_callback(
      "--skip-bad-records", [options] { options->settings.emplace_back("skip_bad_records=true"); },
      "Leave malformed records out, counted and listed: --set skip_bad_records=true");
  command->add_option("--jobs", options->jobs, "Threads; results do not depend on it")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  add_json_option(*command, options->json);
  add_common_options(*command, options->common);
  command->callback([options, &action] { action = [options] { score(*options); }; });
}

}  // namespace namm::experiments
