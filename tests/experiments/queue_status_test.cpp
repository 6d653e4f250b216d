#include "experiments/queue_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/json_lines.h"
#include "core/log.h"
#include "experiments/evolve_progress.h"

namespace namm::experiments {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// What a run reports after the 14th of a stage's 40 generations, which began at generation 3 of the run.
std::string reported() {
  StageWork work;
  work.name = "long";
  work.evolves = true;
  work.generations = 40;
  EvolveProgress progress(work, 3, false);
  nlohmann::json generation;
  for (int64_t g = 3; g < 17; ++g) {
    evolution::GenerationRow row;
    row.generation = g;
    row.best = 0.5;
    row.sigma = 0.06;
    row.cache_fraction = 0.75;
    row.evaluations = 100;
    row.workers = 4;
    row.seconds = g == 16 ? 60 : 10;
    generation = progress.on_generation(row);
  }
  return to_json_text(generation);
}

class QueueStatusTest : public ::testing::Test {
 protected:
  QueueStatusTest() : level_(log_level()) {
    set_log_level(LogLevel::off);
    run_.announcement.run = "r-1";
    run_.announcement.name = "mine";
    run_.announcement.state = "running";
    run_.coordinated = true;
    run_.batch = "stage 0, generation 17 (population)";
    run_.open_items = 5;
    run_.items_in_hand = 2;
    run_.workers = {{"host", 31, 2}};
    run_.row = reported();
  }
  ~QueueStatusTest() override { set_log_level(level_); }

  std::string text() const { return to_text({run_}); }

  evolution::QueuedRun run_;

 private:
  LogLevel level_;
};

TEST_F(QueueStatusTest, CountsTheGenerationsOfTheStageAsTheRunDoes) {
  EXPECT_THAT(text(), HasSubstr("r-1 (mine): running\n"));
  EXPECT_THAT(text(), HasSubstr("5 open, 2 in hand"));
  EXPECT_THAT(text(), HasSubstr("long: generation 14 of 40, best 0.5, mean 0, sigma 0.06, cache 75 %"));
  EXPECT_THAT(text(), HasSubstr("1 worker processes\n    host: 31 items, 2 in hand\n"));
  const auto json = to_json({run_})[0];
  EXPECT_EQ(json["last_generation"]["told"], 14);
  EXPECT_EQ(json["last_generation"]["generations"], 40);
  EXPECT_EQ(json["last_generation"]["generation"], 16) << "the log's own number stays";
}

TEST_F(QueueStatusTest, SaysThePaceOfTheLastTenGenerationsAsTheRunDoes) {
  // Nine of 10 s and one of 60 s.
  EXPECT_THAT(text(), HasSubstr("15 s a generation, 6.7 evaluations/s, 4 worker threads, left 6 min 30 s\n"));
  EXPECT_EQ(to_json({run_})[0]["seconds_left"], 26 * 15.0);
}

TEST_F(QueueStatusTest, OnlyARunThatGoesOnHasTimeLeft) {
  run_.coordinated = false;
  EXPECT_THAT(text(), HasSubstr("without a coordinator"));
  EXPECT_THAT(text(), HasSubstr("generation 14 of 40"));
  EXPECT_THAT(text(), Not(HasSubstr("left")));
  EXPECT_TRUE(to_json({run_})[0]["seconds_left"].is_null());
  run_.coordinated = true;
  run_.announcement.state = "stopped";
  EXPECT_THAT(text(), HasSubstr("(mine): stopped"));
  EXPECT_THAT(text(), Not(HasSubstr("left")));
  EXPECT_FALSE(to_json({run_})[0]["last_generation"].contains("seconds_left"));
}

TEST_F(QueueStatusTest, LeavesOutWhatARowLacks) {
  run_.row = R"({"generation": 300, "stage": 0, "best": 1.5, "seconds": 4, "mean": "none"})";
  EXPECT_THAT(text(), HasSubstr("  301 generations of the run, best 1.5\n"));
  EXPECT_THAT(text(), Not(HasSubstr("left")));
  for (const std::string row : {"", "[1]", "no row", "{}"}) {
    run_.row = row;
    EXPECT_THAT(text(), HasSubstr("in hand\n  1 worker processes")) << row;
    EXPECT_TRUE(to_json({run_})[0]["last_generation"].empty()) << row;
  }
  EXPECT_EQ(to_text({}), "no run on this queue\n");
}

}  // namespace
}  // namespace namm::experiments
