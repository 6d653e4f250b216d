#include "experiments/warm_start.h"

#include <filesystem>
#include <iomanip>
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/text.h"
#include "experiments/commands/command.h"
#include "experiments/run.h"
#include "models/device.h"

namespace namm::experiments {

namespace {

struct Options {
  CommonOptions common;
  std::string config;
  std::vector<std::string> overrides;
  std::string out;
  std::string labels = "none";
  std::string rank = "update";
  WarmStartOptions warm_start;
  bool json = false;
};

struct Line {
  const char* name;
  const char* label;
  const FitQuality& quality;
};

std::vector<Line> lines_of(const WarmStart& result) {
  return {{"warm_start", "warm start", result.held_out},
          {"warm_start_training", "warm start, on its training contexts", result.training},
          {"zero", "zero vector", result.zero},
          {"received_so_far", "attention received so far (h2o's evidence)", result.received},
          {"received_last_period", "attention received since the last update", result.recent}};
}

nlohmann::ordered_json to_json(const WarmStart& result, const Options& options) {
  nlohmann::ordered_json document{{"memory", options.out},
                                  {"sha256", result.file.sha256()},
                                  {"labels", options.labels},
                                  {"rank_within", options.rank},
                                  {"keep_fraction", options.warm_start.keep_fraction},
                                  {"training_heads", result.training_heads},
                                  {"held_out_heads", result.held_out_heads},
                                  {"tokens_read", result.tokens_read},
                                  {"quality", nlohmann::json::object()}};
  for (const Line& line : lines_of(result)) {
    document["quality"][line.name] = {{"loss", line.quality.loss},
                                      {"rank_correlation", line.quality.rank_correlation},
                                      {"recall", line.quality.recall},
                                      {"kept", line.quality.kept}};
  }
  return document;
}

void print(const WarmStart& result, const Options& options) {
  std::cout << format_text(
      "{}: fitted to {} heads at their updates, judged on {} of other contexts; {} tokens read; labels used: "
      "{}\n\n",
      options.out, result.training_heads, result.held_out_heads, result.tokens_read, options.labels);
  std::cout << std::left << std::setw(44) << "attention received later, told by" << std::right << std::setw(8)
            << "loss" << std::setw(10) << "Spearman" << std::setw(8) << "recall" << std::setw(8) << "kept"
            << "\n"
            << std::fixed << std::setprecision(3);
  for (const Line& line : lines_of(result)) {
    std::cout << std::left << std::setw(44) << line.label << std::right << std::setw(8) << line.quality.loss
              << std::setw(10) << line.quality.rank_correlation << std::setw(8) << line.quality.recall
              << std::setw(8) << line.quality.kept << "\n";
  }
  std::cout << "\nEvolve from it: stages.N.evolve.start=" << options.out << "\n";
}

void run(Options options) {
  options.common.apply();
  WarmStartOptions& warm = options.warm_start;
  warm.labels = label_use(options.labels);
  warm.rank = rank_within(options.rank);
  warm.device = models::parse_device(options.common.device);
  warm.fit.threads = options.common.threads > 0 ? options.common.threads : default_threads();
  const std::filesystem::path folder = std::filesystem::absolute(options.out).parent_path();
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error) || std::filesystem::is_directory(options.out, error)) {
    throw ConfigError(format_text("--out {}: must be a file in a folder that exists", options.out));
  }
  const auto config = read_config<ExperimentConfig>(ConfigDocument::load(options.config, options.overrides));
  warm.fit.seed = config.seed;
  const WarmStart result = warm_start(config, warm);
  result.file.save(options.out);
  if (options.json) {
    std::cout << to_json(result, options).dump(1, ' ', false, nlohmann::json::error_handler_t::replace)
              << "\n";
  } else {
    print(result, options);
  }
}

}  // namespace

void add_warm_start(CLI::App& app, const std::vector<std::string>&, Action& action) {
  auto* command = app.add_subcommand(
      "warm-start", "A memory to start evolution from, fitted to the attention that tokens receive later");
  auto options = std::make_shared<Options>();
  command->add_option("config", options->config, "Experiment (YAML); its first evolve stage gives the tasks")
      ->required();
  command->add_option("overrides", options->overrides, "key.path=value, e.g. seed=2");
  command->add_option("--out", options->out, "Memory file to write")->required();
  command
      ->add_option("--contexts", options->warm_start.contexts,
                   "Training contexts a task to fit to; a quarter more judge the fit")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_option("--steps", options->warm_start.fit.steps, "Steps of gradient descent")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24))
      ->capture_default_str();
  command
      ->add_option("--learning-rate", options->warm_start.fit.learning_rate, "Of the first step; falls to 0")
      ->check(CLI::Range(1e-6, 1.0))
      ->capture_default_str();
  command
      ->add_option(
          "--keep-fraction", options->warm_start.keep_fraction,
          "Share of the tokens that shall score 0 or more at an update, in (0, 1); an old token has to "
          "pass every update")
      ->check(CLI::Range(0.001, 0.999))
      ->capture_default_str();
  command
      ->add_option("--labels", options->labels,
                   "none: attention from the contexts' own tokens; questions: half of it from questions and "
                   "answers")
      ->check(CLI::IsMember({"none", "questions"}))
      ->capture_default_str();
  command
      ->add_option("--rank", options->rank,
                   "Among which tokens one is ranked, update: of all heads at an update, so that a head that "
                   "needs few keeps few; head: of its own head, so that all keep the same share")
      ->check(CLI::IsMember({"update", "head"}))
      ->capture_default_str();
  add_json_option(*command, options->json);
  add_common_options(*command, options->common);
  command->footer(
      "Labels: by default none are used. The model reads training contexts under the full cache, and a "
      "token's "
      "target is its rank by the attention that the context's own later tokens pay to it. With --labels "
      "questions the questions and gold answers of these training contexts give half of that attention. "
      "Validation and test contexts are never read.\n"
      "Example: namm warm-start configs/run/quickstart.yaml --out warm.h5\n"
      "         namm run configs/run/quickstart.yaml stages.0.evolve.start=warm.h5");
  command->callback([options, &action] { action = [options] { run(*options); }; });
}

}  // namespace namm::experiments
