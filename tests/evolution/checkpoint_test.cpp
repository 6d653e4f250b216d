#include "evolution/checkpoint.h"

#include <fstream>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/files.h"
#include "evolution/optimizer_list.h"
#include "tests/evolution/support/objectives.h"
#include "tests/support/temporary_directory.h"

namespace namm::evolution {
namespace {

Checkpoint sample_checkpoint(const std::string& kind, int64_t generation) {
  OptimizerConfig config;
  config.kind = kind;
  config.population = 8;
  const auto optimizer = make_optimizer(config, std::vector<double>(40), 3);
  for (int64_t g = 0; g < generation; ++g) {
    optimizer->tell(testing::fitness_of(testing::ellipsoid, optimizer->ask(), 40));
  }
  Checkpoint checkpoint;
  checkpoint.stage = 1;
  checkpoint.first_generation = 0;
  checkpoint.generation = generation;
  checkpoint.config_sha256 = "abc";
  checkpoint.optimizer = optimizer->state();
  checkpoint.samples = {{0, 5}, {1, -7}};
  checkpoint.statistics = {vector_array("mean", std::vector<double>{1, 2, 3}),
                           scalar_array("count", int64_t{12})};
  checkpoint.best = {2, 0.75, std::vector<double>(40, 0.5)};
  checkpoint.log_row = "{\"generation\": 1}";
  checkpoint.origin = "a, b";
  return checkpoint;
}

TEST(Checkpoint, ComesBackBitForBit) {
  const testing::TemporaryDirectory directory;
  for (const std::string& kind : optimizer_names()) {
    const Checkpoint checkpoint = sample_checkpoint(kind, 4);
    write_checkpoint(directory / "c.h5", checkpoint);
    const Checkpoint back = read_checkpoint(directory / "c.h5");
    EXPECT_EQ(back.stage, 1);
    EXPECT_EQ(back.generation, 4);
    EXPECT_EQ(back.config_sha256, "abc");
    EXPECT_EQ(back.optimizer.kind, kind);
    EXPECT_EQ(back.optimizer.arrays, checkpoint.optimizer.arrays);
    EXPECT_EQ(back.samples, checkpoint.samples);
    EXPECT_EQ(back.statistics, checkpoint.statistics);
    EXPECT_EQ(back.best.generation, 2);
    EXPECT_EQ(back.best.validation, 0.75);
    EXPECT_EQ(back.best.mean, checkpoint.best.mean);
    EXPECT_EQ(back.log_row, checkpoint.log_row);
    EXPECT_EQ(back.origin, checkpoint.origin);
    EXPECT_EQ(back.state_sha256(), checkpoint.state_sha256());
  }
}

TEST(Checkpoint, HashCoversStateSamplesAndStatisticsOnly) {
  const Checkpoint base = sample_checkpoint("cma-es", 1);
  Checkpoint same = base;
  same.best.validation = 0;
  same.log_row = "other seconds";
  EXPECT_EQ(same.state_sha256(), base.state_sha256());
  Checkpoint samples = base, statistics = base, optimizer = base;
  samples.samples[0].sample = 6;
  statistics.statistics[1] = scalar_array("count", int64_t{13});
  optimizer.optimizer = sample_checkpoint("cma-es", 2).optimizer;
  EXPECT_NE(samples.state_sha256(), base.state_sha256());
  EXPECT_NE(statistics.state_sha256(), base.state_sha256());
  EXPECT_NE(optimizer.state_sha256(), base.state_sha256());
}

TEST(Checkpoint, DamageIsADataErrorThatNamesTheFile) {
  const testing::TemporaryDirectory directory;
  const auto file = directory / "c.h5";
  write_checkpoint(file, sample_checkpoint("cma-es", 1));
  const std::string bytes = read_file(file);
  for (const std::size_t length : {std::size_t{0}, std::size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    write_atomically(file, std::string_view(bytes).substr(0, length));
    try {
      read_checkpoint(file);
      ADD_FAILURE() << "truncated to " << length;
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()).find("c.h5"), std::string::npos);
    }
  }
  EXPECT_THROW(read_checkpoint(directory / "missing.h5"), DataError);
}

TEST(Checkpoint, NewestReadableOneIsTaken) {
  const testing::TemporaryDirectory directory;
  const RunDirectory run = RunDirectory::create(directory / "run");
  EXPECT_FALSE(newest_checkpoint(run));
  for (int64_t generation = 1; generation <= 3; ++generation) {
    write_checkpoint(run.checkpoint(generation), sample_checkpoint("cr-fm-nes", generation));
  }
  EXPECT_EQ(newest_checkpoint(run)->generation, 3);
  std::filesystem::resize_file(run.checkpoint(3), 1000);
  EXPECT_EQ(newest_checkpoint(run)->generation, 2);
  std::filesystem::resize_file(run.checkpoint(2), 0);
  std::filesystem::resize_file(run.checkpoint(1), 700);
  EXPECT_THROW(newest_checkpoint(run), DataError);
}

}  // namespace
}  // namespace namm::evolution
