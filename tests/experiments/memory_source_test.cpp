#include "experiments/memory_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/files.h"
#include "evolution/checkpoint.h"
#include "experiments/fitness.h"
#include "tests/support/temporary_directory.h"

namespace namm::experiments {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ExperimentConfig config_of(const std::string& stages) {
  return read_config<ExperimentConfig>(
      ConfigDocument::from_text("name: x\nmodel: {archive: m.pt}\nstages:\n" + stages, "x.yaml"));
}

/// A run of two evolve stages, of which a checkpoint of the second one is left.
std::filesystem::path make_run(const std::filesystem::path& run) {
  make_directories(run / "checkpoints");
  write_atomically(run / "config.yaml", to_yaml(config_of("  - evolve: {tasks: [needle/hop]}\n"
                                                          "  - evolve: {tasks: [needle/stale]}\n")));
  evolution::Checkpoint checkpoint;
  checkpoint.stage = 1;
  checkpoint.generation = 7;
  checkpoint.optimizer = {"cr-fm-nes", {evolution::vector_array("mean", std::vector<double>(4172, 0.5))}};
  checkpoint.statistics = to_arrays(memory::FeatureStatistics().to_values());
  checkpoint.origin = "needle/hop, needle/stale";
  evolution::write_checkpoint(run / "checkpoints/generation_000007.h5", checkpoint);
  return run;
}

TEST(EvolvedTasks, AreKeptAsText) {
  for (const EvolvedTasks& tasks :
       {EvolvedTasks(), EvolvedTasks({"needle/hop"}), EvolvedTasks({"needle/hop", "needle/stale"})}) {
    memory::MemoryFile file;
    set_evolved_tasks(file, tasks);
    EXPECT_EQ(evolved_tasks(file), tasks);
    EXPECT_EQ(parse_tasks(text_of(tasks)), tasks);
  }
}

TEST(EvolvedTasks, ACheckpointBringsThoseOfItsStageAndOfItsStart) {
  const namm::testing::TemporaryDirectory folder;
  const auto file = read_memory_of(make_run(folder / "run"));
  EXPECT_THAT(evolved_tasks(file).value(), ElementsAre("needle/hop", "needle/stale"));
}

TEST(MemorySource, TheShippedMemoryIsNoMixture) {
  memory::MemoryConfig config;
  config.scorer = "mix";
  config.transformer.layers = config.transformer.kv_heads = 4;
  EXPECT_THAT([&] { find_memory(config); }, ::testing::ThrowsMessage<DataError>(HasSubstr("memory.file")));
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
