#pragma once

#include <optional>
#include <string>
#include <utility>

#include "core/files.h"
#include "core/run_directory.h"
#include "tests/evolution/support/fake_problem.h"

namespace namm::testing {

/// The settings of a test's run; `continue_run` starts it or goes on with it as a fresh process would.
struct FakeRun {
  explicit FakeRun(std::filesystem::path path) : directory(std::move(path)) {}

  std::filesystem::path directory;
  std::string kind = "cma-es";
  int64_t dimension = 6;
  int64_t population = 8;
  int64_t generations = 5;
  int64_t validate_every = 2;
  bool termination = false;
  int threads = 2;
  int32_t stage = 0;
  int64_t first_generation = 0;
  std::string config_sha256 = "the configuration";
  FakeProblem problem;
  ScheduleConfig schedule{3, 2, 3};
  std::function<bool()> stop_requested;
  std::function<void(const ItemId&, int64_t, int64_t)> on_progress;
  std::vector<GenerationRow>* rows = nullptr;
  std::function<void(const GenerationRow&)> on_generation;

  void make_directory() const {
    if (!std::filesystem::exists(directory)) {
      RunDirectory::create(directory);
    }
    // Of its own, since a process may be killed in between.
    if (!std::filesystem::exists(directory / "config.yaml")) {
      write_atomically(directory / "config.yaml", "name: fake\n");
    }
  }

  StageOutcome continue_run(const Evaluator& evaluator) const {
    ThreadQueue queue;
    const WorkerThreads workers(
        queue, [&] { return evaluator; }, threads);
    return continue_on(queue);
  }

  StageOutcome continue_on(Queue& queue) const {
    make_directory();
    const RunDirectory run = RunDirectory::open(directory);
    OptimizerConfig config;
    config.kind = kind;
    config.population = population;
    config.sigma = 0.1;
    config.termination = termination;
    const auto optimizer = make_optimizer(config, std::vector<double>(dimension), 11);
    CoordinatorOptions options;
    options.config_sha256 = config_sha256;
    options.schedule = schedule;
    options.stage = stage;
    options.first_generation = first_generation;
    options.stop_requested = stop_requested;
    options.on_progress = on_progress;
    options.on_generation = [this](const GenerationRow& row) {
      if (rows != nullptr) {
        rows->push_back(row);
      }
      if (on_generation) {
        on_generation(row);
      }
    };
    Coordinator coordinator(options, run, queue);
    return coordinator.evolve(problem, *optimizer, {generations, validate_every});
  }
};

}  // namespace namm::testing
