#include "experiments/evolve_progress.h"

#include <gtest/gtest.h>

#include "core/log.h"

namespace namm::experiments {
namespace {

using evolution::ItemId;
using evolution::Purpose;

constexpr int64_t kFirst = 7;  // the stage's first generation in the run

StageWork::Items items(int64_t count) {
  return StageWork::Items(static_cast<size_t>(count));
}

/// Five generations, validated after 2, 4 and 5.
StageWork small_stage() {
  StageWork work;
  work.name = "stage";
  work.evolves = true;
  work.generations = 5;
  work.validate_every = 2;
  work.calibration = items(2);
  work.population = items(6);
  work.reference = items(3);
  work.validation_reference = items(1);
  work.validation = items(4);
  work.shifts = items(5);
  return work;
}

/// Batches of the stage in the order in which a coordinator computes them, with their items; generation g has
/// `populations[g]` items.
std::vector<std::pair<ItemId, int64_t>> batches(const StageWork& work,
                                                const std::vector<int64_t>& populations, int64_t from = 0) {
  std::vector<std::pair<ItemId, int64_t>> list;
  if (from == 0) list.push_back({{0, Purpose::calibrate, kFirst, 0, 0}, std::ssize(work.calibration)});
  for (int64_t g = from; g < work.generations; ++g) {
    list.push_back({{0, Purpose::population, kFirst + g, 0, 0}, populations[static_cast<size_t>(g)]});
    if (!work.validates_after(g + 1)) continue;
    if (g + 1 == work.validate_every) list.push_back({{0, Purpose::reference, kFirst, 1, 0}, 1});
    list.push_back({{0, Purpose::validation, kFirst + g, 0, 0}, std::ssize(work.validation)});
  }
  list.push_back({{0, Purpose::validation, kFirst + work.generations, 1, 0}, std::ssize(work.shifts)});
  return list;
}

class EvolveProgressTest : public ::testing::Test {
 protected:
  EvolveProgressTest() : level_(log_level()) { set_log_level(LogLevel::off); }
  ~EvolveProgressTest() override { set_log_level(level_); }

 private:
  LogLevel level_;
};

TEST_F(EvolveProgressTest, CountsEveryItemOnce) {
  const StageWork work = small_stage();
  EvolveProgress progress(work, kFirst, false);
  EXPECT_EQ(progress.items(), work.items());
  int64_t before = 0;
  for (const auto& [batch, count] : batches(work, std::vector<int64_t>(5, 9))) {
    for (int64_t done = 0; done <= count; ++done) {
      progress.on_items(batch, done, count);
      EXPECT_EQ(progress.items_done(batch, done), before + done) << evolution::describe_batch(batch);
    }
    before += count;
  }
  EXPECT_EQ(before, work.items());
  EXPECT_EQ(progress.items(), work.items());
}

TEST_F(EvolveProgressTest, GoesOnWhereAResumedRunStands) {
  const StageWork work = small_stage();
  EvolveProgress progress(work, kFirst, false);
  int64_t before = 2 + 3 * 9 + 1 + 4;  // calibration, three generations, one validation and its reference
  for (const auto& [batch, count] : batches(work, std::vector<int64_t>(5, 9), 3)) {
    progress.on_items(batch, count, count);
    before += count;
    EXPECT_EQ(progress.items_done(batch, count), before) << evolution::describe_batch(batch);
  }
  EXPECT_EQ(before, work.items());
}

TEST_F(EvolveProgressTest, KnowsThatMembersAreEvaluatedAgain) {
  StageWork work = small_stage();
  work.reevaluations = 2;
  work.later_population = items(8);
  EvolveProgress progress(work, kFirst, false);
  const int64_t all = work.items();
  int64_t before = 0;
  for (const auto& [batch, count] : batches(work, {9, 11, 11, 11, 11})) {
    progress.on_items(batch, 0, count);
    EXPECT_EQ(progress.items_done(batch, 0), before) << evolution::describe_batch(batch);
    EXPECT_EQ(progress.items(), all) << evolution::describe_batch(batch);
    before += count;
  }
  EXPECT_EQ(before, all);
}

TEST_F(EvolveProgressTest, ThePaceOfAResumedRunIsThatOfItsLog) {
  std::vector<nlohmann::json> rows;
  for (int g = 0; g < 3; ++g)
    rows.push_back({{"generation", kFirst + g}, {"seconds", 30}, {"evaluations", 60}});
  EvolveProgress progress(small_stage(), kFirst, false, rows);
  evolution::GenerationRow row;
  row.generation = kFirst + 2;  // the log was one row ahead of the checkpoint
  row.seconds = 6;              // most of its results stood in the journal
  row.evaluations = 60;
  const auto generation = progress.on_generation(row);
  EXPECT_EQ(generation["told"], 3);
  EXPECT_EQ(generation["generations"], 5);
  EXPECT_EQ(generation["seconds_per_generation"], 22);
  EXPECT_EQ(generation["seconds_left"], 44);
  EXPECT_NEAR(generation["evaluations_per_second"].get<double>(), 180 / 66.0, 1e-12);
}

TEST_F(EvolveProgressTest, LearnsPopulationsThatRestartsChange) {
  const StageWork work = small_stage();
  EvolveProgress progress(work, kFirst, false);
  int64_t before = 0;
  for (const auto& [batch, count] : batches(work, {9, 9, 15, 15, 6})) {
    progress.on_items(batch, 0, count);
    EXPECT_EQ(progress.items_done(batch, 0), before) << evolution::describe_batch(batch);
    before += count;
    if (batch.purpose == Purpose::population && batch.generation == kFirst + 2) {
      EXPECT_EQ(progress.items(), work.items() + 3 * 6) << "three more generations of 15 items";
    }
  }
  EXPECT_EQ(progress.items(), before);
}

}  // namespace
}  // namespace namm::experiments
