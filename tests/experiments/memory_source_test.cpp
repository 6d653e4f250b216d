#include "experiments/memory_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/files.h"
#include "evolution/checkpoint.h"
#include "tests/support/temporary_directory.h"

namespace namm::experiments {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ExperimentConfig config_of(const std::string& stages) {
  return read_config<ExperimentConfig>(
      ConfigDocument::from_text("name: x\nmodel: {archive: m.pt}\nstages:\n" + stages, "x.yaml"));
}

memory::MemoryFile memory_of(const EvolvedTasks& tasks) {
  memory::MemoryFile file;
  file.parameters.assign(static_cast<size_t>(file.config.parameters()), 0.0F);
  set_evolved_tasks(file, tasks);
  return file;
}

/// A run of two evolve stages, of which a checkpoint of the second one is left.
std::filesystem::path make_run(const std::filesystem::path& run) {
  make_directories(run / "checkpoints");
  write_atomically(run / "config.yaml", to_yaml(config_of("  - evolve: {tasks: [needle/hop]}\n"
                                                          "  - evolve: {tasks: [needle/stale]}\n")));
  evolution::Checkpoint checkpoint;
  checkpoint.stage = 1;
  checkpoint.generation = 7;
  evolution::write_checkpoint(run / "checkpoints/generation_000007.h5", checkpoint);
  return run;
}

TEST(EvolvedTasks, ThoseOfTheStartCountToo) {
  const namm::testing::TemporaryDirectory folder;
  const auto config = config_of(
      "  - evolve: {tasks: [needle/hop, needle/stale]}\n"
      "  - evaluate: {tasks: [needle/hop], policies: [full]}\n"
      "  - evolve: {tasks: [needle/classify, needle/hop]}\n"
      "  - evolve: {tasks: [needle/passage], start: zero}\n");
  EXPECT_THAT(evolved_tasks(config, 0).value(), ElementsAre("needle/hop", "needle/stale"));
  EXPECT_FALSE(evolved_tasks(config, 1));
  EXPECT_THAT(evolved_tasks(config, 2).value(), ElementsAre("needle/hop", "needle/stale", "needle/classify"));
  EXPECT_THAT(evolved_tasks(config, 3).value(), ElementsAre("needle/passage"));
  EXPECT_FALSE(evolved_tasks(config, 4));
}

TEST(EvolvedTasks, AFileBringsItsOwnAndNotThoseOfTheStageBefore) {
  const namm::testing::TemporaryDirectory folder;
  const auto from = [&](const std::filesystem::path& start) {
    return evolved_tasks(
        config_of("  - evolve: {tasks: [needle/hop]}\n  - evolve: {tasks: [needle/passage], start: " +
                  start.string() + "}\n"),
        1);
  };
  memory_of({{"needle/classify", "needle/key_value"}}).save(folder / "known.h5");
  EXPECT_THAT(from(folder / "known.h5").value(),
              ElementsAre("needle/classify", "needle/key_value", "needle/passage"));
  memory_of(std::nullopt).save(folder / "unknown.h5");
  EXPECT_FALSE(from(folder / "unknown.h5"));
  EXPECT_FALSE(from(folder / "missing.h5"));
  const auto run = make_run(folder / "run");
  EXPECT_THAT(from(run).value(), ElementsAre("needle/hop", "needle/stale", "needle/passage"));
  EXPECT_THAT(from(run / "checkpoints/generation_000007.h5").value(),
              ElementsAre("needle/hop", "needle/stale", "needle/passage"));
}

TEST(MemorySource, CheckpointOutsideOfItsRunIsRefused) {
  const namm::testing::TemporaryDirectory folder;
  const auto run = make_run(folder / "run");
  const auto lone = folder / "generation_000007.h5";
  std::filesystem::copy_file(run / "checkpoints/generation_000007.h5", lone);
  EXPECT_THAT([&] { read_memory_of(lone); },
              ::testing::ThrowsMessage<DataError>(HasSubstr("config.yaml is missing")));
}

}  // namespace
}  // namespace namm::experiments
