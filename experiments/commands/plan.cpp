#include "experiments/plan.h"

#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/text.h"
#include "experiments/calibration_run.h"
#include "experiments/commands/command.h"
#include "experiments/coordinator_times.h"
#include "experiments/run.h"
#include "experiments/run_context.h"
#include "experiments/throughput_model.h"
#include "models/device.h"

namespace namm::experiments {

namespace {

struct Options {
  CommonOptions common;
  std::string config;
  std::vector<std::string> overrides;
  PlanOptions plan;
  MeasureOptions measure;
  double mtbf_hours = 0;
  std::string times;
  std::string save;
  bool predict = false;
  ThroughputModel model;
  double peak_tflops = 0;
  double bandwidth_gb = 0;
  std::optional<double> update_seconds;
  bool json = false;
};

constexpr double kHour = 3600;
constexpr double kTera = 1e12;
constexpr double kGiga = 1e9;

using TaskPointers = std::vector<std::vector<const tasks::Task*>>;

std::vector<StageWork> works_of(const ExperimentConfig& config, const TaskPointers& tasks) {
  std::vector<StageWork> works;
  for (size_t i = 0; i < config.stages.size(); ++i) works.push_back(stage_work(config, i, tasks[i]));
  return works;
}

/// Where a run would be written: its folder, or where that would be made.
std::filesystem::path place_of_runs() {
  std::error_code error;
  const auto folder = runs_folder();
  return std::filesystem::is_directory(folder, error) ? folder
                                                      : std::filesystem::absolute(folder).parent_path();
}

/// Adds the coordinator's part, measured here.
void add_coordinator(const ExperimentConfig& config, const std::vector<StageWork>& works,
                     const Options& options, ItemTimes& times) {
  for (const auto& work : works) {
    if (!work.evolves) continue;
    times.coordinator = measure_coordinator(config, work, place_of_runs(), options.update_seconds);
    times.assumptions.push_back(
        format_text("The coordinator's part was measured on this machine{}.",
                    options.update_seconds ? ", but for the optimiser's (--update-seconds)" : ""));
    break;
  }
}

std::pair<std::vector<StageWork>, ItemTimes> measure(const ExperimentConfig& config, const Options& options) {
  const RunContext context = open_run(config, models::parse_device(options.common.device));
  TaskPointers pointers;
  for (const auto& tasks : context.stage_tasks) pointers.push_back(tasks->pointers());
  auto works = works_of(config, pointers);
  MeasureOptions measure = options.measure;
  measure.threads = options.common.threads > 0 ? options.common.threads : default_threads();
  ItemTimes times = measure_items(context, works, measure);
  add_coordinator(config, works, options, times);
  return {std::move(works), std::move(times)};
}

/// Without the model: times from a file, or predicted.
std::pair<std::vector<StageWork>, ItemTimes> look_up(const ExperimentConfig& config, const Options& options) {
  std::vector<ExpectedTasks> tasks;
  TaskPointers pointers;
  std::vector<std::string> missing;
  for (size_t i = 0; i < config.stages.size(); ++i) {
    tasks.push_back(open_or_expect_tasks(config, i, config.model.max_positions));
    pointers.push_back(tasks.back().pointers());
    for (const auto& name : tasks.back().missing) {
      if (std::ranges::find(missing, name) == missing.end()) missing.push_back(name);
    }
  }
  auto works = works_of(config, pointers);
  ItemTimes times;
  if (!options.times.empty()) {
    times = load_item_times(options.times);
  } else {
    times = predict_item_times(config, works, pointers, options.model);
    add_coordinator(config, works, options, times);
  }
  if (options.update_seconds) times.coordinator.update_seconds = *options.update_seconds;
  if (!missing.empty()) {
    times.assumptions.push_back(
        "Files that are not there have the official number of records: " + join(missing, ", ") + ".");
  }
  return {std::move(works), std::move(times)};
}

void plan(Options options) {
  options.common.apply();
  const auto config = read_config<ExperimentConfig>(ConfigDocument::load(options.config, options.overrides));
  options.plan.failure_seconds = options.mtbf_hours * kHour;
  options.model.peak_flops = options.peak_tflops * kTera;
  options.model.bytes_per_second = options.bandwidth_gb * kGiga;
  const auto& rates = options.model;
  const bool given = rates.seconds_per_1k_tokens || rates.decode_steps_per_second || rates.prompt_tokens ||
                     rates.parameters > 0;
  std::error_code error;
  const bool present = std::filesystem::exists(config.model.archive.value, error);
  const bool without_model = !options.times.empty() || options.predict || given || !present;
  auto [works, times] = without_model ? look_up(config, options) : measure(config, options);
  if (!present && options.times.empty()) {
    times.assumptions.insert(times.assumptions.begin(),
                             config.model.archive.value.string() +
                                 ": the model's archive is not there, so nothing of it can be measured.");
  }
  if (!options.save.empty()) save_item_times(options.save, times);
  const Plan made = make_plan(config, std::move(works), std::move(times), options.plan);
  if (options.json) {
    std::cout << to_json(config, made).dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else {
    std::cout << to_text(config, made);
  }
}

}  // namespace

void add_plan(CLI::App& app, const std::vector<std::string>&, Action& action) {
  auto* command = app.add_subcommand(
      "plan",
      "Predict hours and cost of an experiment by simulating its work queue with measured item times");
  auto options = std::make_shared<Options>();
  const ThroughputModel usual;
  options->peak_tflops = usual.peak_flops / kTera;
  options->bandwidth_gb = usual.bytes_per_second / kGiga;
  options->plan.workers = usual_workers();
  command->add_option("config", options->config, "Experiment (YAML)")->required();
  command->add_option("overrides", options->overrides,
                      "key.path=value, e.g. stages.0.evolve.generations=250");
  command->add_option("--workers", options->plan.workers, "Numbers of workers to look at, by commas")
      ->delimiter(',')
      ->check(CLI::Range(1, 100000));
  command
      ->add_option("--mtbf-hours", options->mtbf_hours,
                   "Mean time between two failures of one worker; 0: none fails")
      ->check(CLI::Range(0.0, 1e9));
  command
      ->add_option("--restart-seconds", options->plan.restart_seconds,
                   "From a worker's failure until it claims again")
      ->check(CLI::Range(0.0, 1e9));
  command
      ->add_option(
          "--prefetch", options->plan.prefetch,
          "Items that a worker holds beside the one it computes while items are short; 0 as in `namm "
          "run` without --queue")
      ->check(CLI::Range(0, 100));
  command->add_option("--seed", options->plan.seed, "Of drawn item times and failures");
  command->add_option("--repeats", options->measure.repeats, "Items of each kind that are measured")
      ->check(CLI::Range(1, 1000));
  command->add_option("--times", options->times, "Item times that --save wrote, instead of measuring");
  command->add_option("--save", options->save, "Write the item times to this file");
  command->add_flag("--predict", options->predict,
                    "Predict item times although the model is there (where it is not, this is the default)");
  command
      ->add_option("--seconds-per-1k-tokens", options->model.seconds_per_1k_tokens,
                   "Predict: time to read prompts, instead of the arithmetic below")
      ->check(CLI::Range(0.0, 1e9));
  command
      ->add_option("--decode-steps-per-second", options->model.decode_steps_per_second,
                   "Predict: tokens a second of one answer, instead of the arithmetic below")
      ->check(CLI::Range(1e-6, 1e12));
  command
      ->add_option("--prompt-tokens", options->model.prompt_tokens,
                   "Predict: tokens of every context, instead of published means")
      ->check(CLI::Range(1, 1 << 24));
  command
      ->add_option("--parameters", options->model.parameters,
                   "Predict: parameters of the model; 0: from its sizes")
      ->check(CLI::Range(0.0, 1e15));
  command->add_option("--peak-tflops", options->peak_tflops, "Predict: peak of one worker's device")
      ->check(CLI::Range(1e-6, 1e9));
  command
      ->add_option("--utilisation", options->model.utilisation,
                   "Predict: share of the peak reached while prompts are read")
      ->check(CLI::Range(1e-6, 1.0));
  command
      ->add_option("--bandwidth-gb", options->bandwidth_gb,
                   "Predict: memory bandwidth in GB/s, that answers are limited by")
      ->check(CLI::Range(1e-6, 1e9));
  command->add_option("--spread", options->model.spread, "Predict: coefficient of variation of item times")
      ->check(CLI::Range(0.0, 10.0));
  command
      ->add_option("--update-seconds", options->update_seconds,
                   "The optimiser's part of a generation, instead of what this machine takes")
      ->check(CLI::Range(0.0, 1e9));
  add_json_option(*command, options->json);
  add_common_options(*command, options->common);
  command->footer(
      "Where the model is there, items of every kind are computed a few times, --threads at once; where it "
      "is not, "
      "their times are predicted and the assumptions printed. Nothing is left behind but the file of "
      "--save.\n"
      "Examples:\n"
      "  namm plan configs/run/quickstart.yaml --workers 1,2,4\n"
      "  namm plan configs/run/paper-stage-1.yaml --workers 1,8,64 --mtbf-hours 24\n"
      "  namm plan my.yaml --device cuda --threads 1 --save gpu.json   # where the GPU is\n"
      "  namm plan my.yaml --times gpu.json                            # anywhere");
  command->callback([options, &action] { action = [options] { plan(*options); }; });
}

}  // namespace namm::experiments
