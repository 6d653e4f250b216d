#include "experiments/stage_start.h"

#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/files.h"
#include "core/run_directory.h"
#include "evolution/checkpoint.h"
#include "evolution/optimizer_list.h"
#include "tests/support/temporary_directory.h"

namespace namm::experiments {
namespace {

RunContext context_of(const std::vector<std::string>& overrides) {
  const auto file = std::filesystem::path(NAMM_SOURCE_DIR) / "configs" / "run" / "smoke.yaml";
  RunContext context;
  context.config = read_config<ExperimentConfig>(ConfigDocument::load(file, overrides));
  return context;
}

/// A run of `config` that was left after one generation; returns the step size that it had then.
double leave_run(const std::filesystem::path& path, const ExperimentConfig& config) {
  const RunDirectory run = RunDirectory::create(path);
  write_atomically(run.config(), to_yaml(config));
  const std::vector<double> zero(static_cast<size_t>(config.memory.parameters()), 0.0);
  const auto optimizer = evolution::make_optimizer(config.evolution.optimizer, zero, config.seed);
  optimizer->ask();
  std::vector<double> fitness(static_cast<size_t>(optimizer->population()));
  for (size_t i = 0; i < fitness.size(); ++i) fitness[i] = static_cast<double>(i);
  optimizer->tell(fitness);
  evolution::Checkpoint checkpoint;
  checkpoint.generation = 1;
  checkpoint.optimizer = optimizer->state();
  evolution::write_checkpoint(run.checkpoint(1), checkpoint);
  return optimizer->sigma();
}

TEST(StageStart, ASigmaThatIsGivenHoldsAgainstThatOfTheCheckpoint) {
  for (const std::vector<std::string>& optimizer :
       {std::vector<std::string>{},
        {"evolution.kind=sep-cma-es"},
        {"evolution.kind=lm-ma-es"},
        {"evolution.kind=random-search"},
        {"evolution.restarts=ipop"},
        {"evolution.average_mean=3", "evolution.reevaluations=2"}}) {
    const testing::TemporaryDirectory folder;
    const double left = leave_run(folder / "run", context_of(optimizer).config);
    auto overrides = optimizer;
    overrides.push_back("stages.0.evolve.start=" + (folder / "run").string());
    const auto started = [](const RunContext& context) {
      return make_stage_optimizer(context, 0, stage_start(context, 0));
    };
    const auto goes_on = started(context_of(overrides));
    EXPECT_EQ(goes_on->sigma(), left) << goes_on->kind();
    EXPECT_EQ(goes_on->generation(), 1);
    overrides.push_back("stages.0.evolve.sigma=0.3");
    const auto given = started(context_of(overrides));
    EXPECT_NEAR(given->sigma(), 0.3, 1e-15) << given->kind();
    EXPECT_NE(given->ask(), goes_on->ask());
  }
}

TEST(StageStart, ACheckpointKeepsItsOwnSeed) {
  const testing::TemporaryDirectory folder;
  leave_run(folder / "run", context_of({}).config);
  const auto members = [&](const std::string& seed) {
    const auto context = context_of({"stages.0.evolve.start=" + (folder / "run").string(), seed});
    return make_stage_optimizer(context, 0, stage_start(context, 0))->ask();
  };
  EXPECT_EQ(members("seed=1"), members("seed=2"));
}

TEST(StageStart, ARunWithoutACheckpointIsNone) {
  const testing::TemporaryDirectory folder;
  RunDirectory::create(folder / "run");
  const auto context = context_of({"stages.0.evolve.start=" + (folder / "run").string()});
  EXPECT_THROW(stage_start(context, 0), DataError);
}

}  // namespace
}  // namespace namm::experiments
