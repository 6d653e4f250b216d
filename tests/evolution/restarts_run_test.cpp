#include <set>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/files.h"
#include "core/run_directory.h"
#include "evolution/coordinator.h"
#include "evolution/optimizer_list.h"
#include "evolution/queues/threads.h"
#include "tests/evolution/support/fake_problem.h"
#include "tests/support/temporary_directory.h"

/// Whole runs whose population changes between generations.
namespace namm::evolution {
namespace {

struct Outcome {
  StageOutcome stage;
  std::set<int64_t> evaluations;  ///< of the generations' rows, validations left out
};

/// Runs, or resumes, to the end or to `generations_now` generations from here.
Outcome run(const std::filesystem::path& path, const OptimizerConfig& config, int64_t generations,
            int64_t generations_now) {
  if (!std::filesystem::exists(path)) {
    RunDirectory::create(path);
    write_atomically(path / "config.yaml", "name: restarts\n");
  }
  const RunDirectory directory = RunDirectory::open(path);
  const testing::FakeProblem problem;
  const auto optimizer = make_optimizer(config, std::vector<double>(4, 0.3), 11);
  ThreadQueue queue;
  const WorkerThreads workers(
      queue, [] { return Evaluator(testing::fake_result); }, 2);
  Outcome outcome;
  int64_t done = 0;
  CoordinatorOptions options;
  options.config_sha256 = "the configuration";
  options.schedule = {3, 3, 2};
  options.stop_requested = [&] { return done >= generations_now; };
  options.on_generation = [&](const GenerationRow& row) {
    outcome.evaluations.insert(row.evaluations);
    ++done;
  };
  Coordinator coordinator(options, directory, queue);
  outcome.stage = coordinator.evolve(problem, *optimizer, {generations, 0});
  return outcome;
}

/// Candidates are float32: begun so near to the optimum, all of them are soon the same, which ends a run of
/// the optimiser and begins a larger one.
OptimizerConfig restarting() {
  OptimizerConfig config;
  config.kind = "cma-es";
  config.population = 6;
  config.sigma = 1e-6;
  config.restarts = "ipop";
  config.restart_radius = 1e-6;
  config.reevaluations = 3;
  return config;
}

TEST(RestartsInARun, TheRunGoesOnWithOtherPopulations) {
  const testing::TemporaryDirectory directory;
  const Outcome outcome = run(directory / "run", restarting(), 70, 1000);
  EXPECT_EQ(outcome.stage.generation, 70);
  // Members times 6 samples: 6, then 6 + 3, and after a restart 12 + 3.
  EXPECT_TRUE(outcome.evaluations.contains(6 * 6));
  EXPECT_TRUE(outcome.evaluations.contains(9 * 6));
  EXPECT_TRUE(outcome.evaluations.contains(15 * 6)) << "no restart happened: the test shows nothing";
  for (const double value : outcome.stage.mean) {
    EXPECT_NEAR(value, 0.3, 1e-5);
  }
}

TEST(RestartsInARun, InterruptionsChangeNothing) {
  const testing::TemporaryDirectory directory;
  const Outcome straight = run(directory / "straight", restarting(), 70, 1000);
  std::optional<Outcome> last;
  int resumed = 0;
  for (; !last && resumed < 20; ++resumed) {
    try {
      last = run(directory / "torn", restarting(), 70, 13);
    } catch (const Interrupted&) {
    }
  }
  ASSERT_TRUE(last);
  EXPECT_GT(resumed, 4);
  EXPECT_EQ(last->stage.state_sha256, straight.stage.state_sha256);
  EXPECT_EQ(last->stage.mean, straight.stage.mean);
}

}  // namespace
}  // namespace namm::evolution
