#include "experiments/run_status.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/build_info.h"
#include "core/errors.h"
#include "core/files.h"
#include "core/journal.h"
#include "core/run_directory.h"
#include "evolution/checkpoint.h"
#include "evolution/work_item.h"
#include "experiments/experiment.h"
#include "tests/support/temporary_directory.h"

namespace namm::experiments {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::TemporaryDirectory;

const char* const kIdentity = "0123";

/// A run of smoke.yaml (4 population items a generation) as it stands after two of three generations.
class RunStatusTest : public ::testing::Test {
 protected:
  TemporaryDirectory folder_;
  std::filesystem::path path_ = folder_ / "run";

  void make_run(const std::vector<std::string>& overrides = {}) {
    const auto file = std::filesystem::path(NAMM_SOURCE_DIR) / "configs" / "run" / "smoke.yaml";
    const RunDirectory run = RunDirectory::create(path_);
    const auto config = read_config<ExperimentConfig>(ConfigDocument::load(file, overrides));
    write_atomically(run.config(), to_yaml(config));
    run.write_provenance(build_info(), {{"config_sha256", kIdentity}}, {"namm"});
    for (int generation = 0; generation < 2; ++generation) {
      nlohmann::json row{{"generation", generation},
                         {"stage", 0},
                         {"best", -0.5 + generation},
                         {"mean", -1.0},
                         {"sigma", 0.06},
                         {"cache_fraction", 0.75},
                         {"evaluations", 20},
                         {"reissued", 1},
                         {"seconds", 4 + generation},
                         {"state_sha256", "00"}};
      row["validation"] = 0.25 - 0.125 * generation;
      run.append_log_row(row);
    }
    evolution::write_checkpoint(run.checkpoint(1), {});
    evolution::write_checkpoint(run.checkpoint(2), {});
  }

  /// Journals the first results of the third generation's population.
  void add_results(int count) {
    auto journal = Journal::open(path_ / "journal" / "stage_0_generation_2_population_0.journal", kIdentity);
    for (int i = 0; i < count; ++i) {
      evolution::WorkResult result;
      result.id = {0, evolution::Purpose::population, 2, 0, i};
      result.rows = result.samples = 1;
      result.records.resize(1);
      result.seconds = 2;
      result.worker = "thread " + std::to_string(i % 2);
      journal.append(evolution::encode(result));
    }
  }
};

TEST_F(RunStatusTest, OfAStoppedRun) {
  make_run();
  add_results(3);
  const RunStatus status = read_run_status(path_);
  EXPECT_THAT(status.problems, IsEmpty());
  EXPECT_EQ(status.state, "stopped");
  EXPECT_EQ(status.name, "smoke");
  EXPECT_EQ(status.checkpoint, "generation_000002.h5");
  ASSERT_TRUE(status.seconds_since_change.has_value());
  EXPECT_LT(*status.seconds_since_change, 600);
  ASSERT_THAT(status.stages, SizeIs(1));
  const StageStatus& stage = status.stages[0];
  EXPECT_EQ(stage.state, "begun");
  EXPECT_EQ(stage.generations, 3);
  EXPECT_EQ(stage.told, 2);
  EXPECT_EQ(stage.scores.best, 0.5);
  EXPECT_EQ(stage.scores.sigma, 0.06);
  EXPECT_EQ(stage.scores.cache_fraction, 0.75);
  EXPECT_EQ(stage.scores.validation, 0.125);
  EXPECT_EQ(stage.best_validation, 0.25);
  EXPECT_EQ(stage.best_generation, 1);
  EXPECT_EQ(stage.reissued, 2);
  EXPECT_DOUBLE_EQ(stage.pace.seconds_per_generation, 4.5);
  EXPECT_DOUBLE_EQ(stage.pace.evaluations_per_second, 40 / 9.0);
  ASSERT_THAT(stage.batches, SizeIs(1));
  EXPECT_EQ(stage.batches[0].purpose, "population");
  EXPECT_EQ(stage.batches[0].done, 3);
  EXPECT_EQ(stage.batches[0].total, 4);
  EXPECT_EQ(stage.batches[0].workers, 2);
  EXPECT_DOUBLE_EQ(stage.batches[0].mean_seconds, 2);
  EXPECT_DOUBLE_EQ(stage.seconds_left.value(), 0.25 * 4.5);
  EXPECT_THAT(to_text(status), HasSubstr("3 of 4 items"));
  EXPECT_THAT(to_text(status), HasSubstr("namm run --resume"));
}

TEST_F(RunStatusTest, CountsMembersThatAreEvaluatedAgain) {
  make_run({"evolution.reevaluations=2", "evolution.members_per_item=2"});
  add_results(3);
  const BatchStatus batch = read_run_status(path_).stages[0].batches.at(0);
  EXPECT_EQ(batch.total, 2 * 4) << "tasks x blocks of 6 + 2 members";
}

TEST_F(RunStatusTest, SaysWhatTheRunItselfSays) {
  make_run();
  const RunDirectory run = RunDirectory::open_to_read(path_);
  const auto rows = rows_of_stage(run.log_rows(), 0);
  ASSERT_THAT(rows, SizeIs(2));
  const auto own = generation_json(rows.back(), "stage_0", 2, 3, pace_of(rows));
  const StageStatus stage = read_run_status(path_).stages[0];
  EXPECT_EQ(own["seconds_left"], stage.seconds_left.value());
  EXPECT_EQ(own["evaluations_per_second"], stage.pace.evaluations_per_second);
  const std::string text = to_text(read_run_status(path_));
  for (const auto& words : words_of(scores_of(rows.back()))) {
    EXPECT_THAT(text, HasSubstr(words));
    EXPECT_THAT(generation_line(own, true), HasSubstr(words));
  }
  for (const auto& words : words_of(pace_of(rows))) {
    EXPECT_THAT(text, HasSubstr(words));
    EXPECT_THAT(generation_line(own, true), HasSubstr(words));
  }
  EXPECT_THAT(text, HasSubstr(left_in_words(4.5)));
  EXPECT_THAT(generation_line(own, true), HasSubstr(left_in_words(4.5)));
}

TEST_F(RunStatusTest, ReadsAndChangesNothing) {
  make_run();
  add_results(1);
  std::filesystem::remove_all(path_ / "journal");
  read_run_status(path_);
  EXPECT_FALSE(std::filesystem::exists(path_ / "journal"));
}

TEST_F(RunStatusTest, OfARunThatSomebodyWorksIn) {
  make_run();
  {
    const RunDirectory holder = RunDirectory::open(path_);
    EXPECT_EQ(read_run_status(path_).state, "running");
    EXPECT_THROW(RunDirectory::open(path_), ConfigError);
  }
  EXPECT_EQ(read_run_status(path_).state, "stopped");
}

TEST_F(RunStatusTest, OfACompleteRun) {
  make_run();
  std::ofstream(path_ / "memory.h5") << "an answer";
  const RunStatus status = read_run_status(path_);
  EXPECT_EQ(status.state, "complete");
  EXPECT_FALSE(status.stages[0].seconds_left.has_value());
  EXPECT_THAT(to_text(status), HasSubstr("complete"));
}

TEST_F(RunStatusTest, ResultsOfThisRunOnlyAndEachOnce) {
  make_run();
  add_results(2);
  add_results(2);
  EXPECT_EQ(read_run_status(path_).stages[0].batches.at(0).done, 2);
  Journal::open(path_ / "journal" / "stage_0_generation_2_validation_0.journal", "another");
  const RunStatus status = read_run_status(path_);
  ASSERT_THAT(status.problems, SizeIs(1));
  EXPECT_THAT(status.problems[0], HasSubstr("validation_0.journal"));
  EXPECT_THAT(status.stages[0].batches, SizeIs(1));
}

TEST_F(RunStatusTest, NamesWhatIsDamaged) {
  make_run();
  std::filesystem::resize_file(path_ / "checkpoints" / "generation_000002.h5", 1000);
  RunStatus status = read_run_status(path_);
  ASSERT_THAT(status.problems, SizeIs(1));
  EXPECT_THAT(status.problems[0], HasSubstr("a resume goes on from generation_000001.h5"));
  EXPECT_EQ(status.checkpoint, "generation_000001.h5");
  std::filesystem::resize_file(path_ / "checkpoints" / "generation_000001.h5", 0);
  status = read_run_status(path_);
  ASSERT_THAT(status.problems, SizeIs(1));
  EXPECT_THAT(status.problems[0], HasSubstr("cannot be resumed"));

  std::ofstream(path_ / "log.jsonl") << "{\"generation\": 0}\nno row\n";
  EXPECT_THAT(read_run_status(path_).problems, SizeIs(2));
  std::ofstream(path_ / "results.h5") << "no results";
  EXPECT_THAT(read_run_status(path_).problems, SizeIs(3));

  std::ofstream(path_ / "config.yaml") << "name: [";
  EXPECT_THROW(read_run_status(path_), ConfigError);
  std::filesystem::remove(path_ / "config.yaml");
  EXPECT_THROW(read_run_status(path_), DataError);
  EXPECT_THROW(read_run_status(folder_ / "none"), DataError);
}

TEST_F(RunStatusTest, ATornRowIsNoDamage) {
  make_run();
  std::ofstream(path_ / "log.jsonl", std::ios::app) << "{\"generation\": 2, \"sta";
  const RunStatus status = read_run_status(path_);
  EXPECT_THAT(status.problems, IsEmpty());
  EXPECT_EQ(status.stages[0].told, 2);
}

}  // namespace
}  // namespace namm::experiments
