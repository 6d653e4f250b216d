#include "evolution/queue_simulation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <limits>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/run_directory.h"
#include "evolution/coordinator.h"
#include "evolution/queue.h"
#include "evolution/queues/threads.h"
#include "tests/support/temporary_directory.h"

namespace namm::evolution {
namespace {

constexpr double kHour = 3600;

std::vector<SimulatedItem> equal_items(int64_t count, double seconds) {
  return std::vector<SimulatedItem>(static_cast<std::size_t>(count), {seconds, -1, 0});
}

/// Seconds between 0.5 and 1.5 of `mean`.
std::vector<SimulatedItem> uneven_items(int64_t count, double mean, uint64_t seed) {
  RandomStream random({.seed = seed, .purpose = "test/items"});
  std::vector<SimulatedItem> items;
  for (int64_t i = 0; i < count; ++i) {
    items.push_back({mean * (0.5 + random.uniform()), static_cast<int32_t>(i % 8), 100});
  }
  return items;
}

double sum_of(const std::vector<SimulatedItem>& items) {
  return std::accumulate(items.begin(), items.end(), 0.0,
                         [](double sum, const SimulatedItem& item) { return sum + item.seconds; });
}

TEST(QueueSimulation, EqualItemsWithoutFailuresTakeTheClosedForm) {
  for (const int64_t workers : {1, 2, 3, 7, 64, 1000}) {
    for (const int64_t items : {1, 2, 6, 7, 8, 63, 64, 65, 129, 1000}) {
      for (const int64_t prefetch : {0, 1, 3}) {
        QueueSimulation queue({.workers = workers, .prefetch = prefetch});
        queue.run_batch(equal_items(items, 2.5));
        EXPECT_DOUBLE_EQ(queue.totals().seconds, 2.5 * static_cast<double>((items + workers - 1) / workers))
            << workers << " workers, " << items << " items, " << prefetch << " held";
        EXPECT_EQ(queue.totals().items, items);
      }
    }
  }
}

TEST(QueueSimulation, TheCoordinatorsPartAddsUp) {
  QueueSimulation queue({.workers = 4, .result_seconds = 0.5});
  queue.run_batch(equal_items(8, 1));
  // Results come in fours; the last is the eighth half second after the first.
  EXPECT_DOUBLE_EQ(queue.totals().seconds, 1 + 8 * 0.5);
  queue.wait(3);
  EXPECT_DOUBLE_EQ(queue.totals().seconds, 8);
  queue.run_batch({});
  EXPECT_DOUBLE_EQ(queue.totals().seconds, 8);
}

TEST(QueueSimulation, WorkIsConservedWithFailures) {
  for (const double failure_seconds : {0.0, 20.0, 200.0}) {
    for (const int64_t workers : {1, 5, 40}) {
      QueueSimulation queue({.workers = workers,
                             .lease_seconds = 10,
                             .failure_seconds = failure_seconds,
                             .restart_seconds = 5});
      const auto items = uneven_items(300, 4, 1);
      double work = 0;
      for (int batch = 0; batch < 3; ++batch) {
        queue.run_batch(items);
        queue.wait(2);
        work += sum_of(items);
      }
      const SimulatedTotals& totals = queue.totals();
      EXPECT_EQ(totals.items, 900);
      EXPECT_NEAR(totals.useful_seconds, work, 1e-6 * work);
      EXPECT_LE(totals.useful_seconds + totals.lost_seconds,
                totals.seconds * static_cast<double>(workers) * (1 + 1e-12));
      EXPECT_GE(totals.lost_seconds, 0);
      EXPECT_EQ(totals.failures > 0, failure_seconds > 0) << workers << " workers";
      EXPECT_EQ(totals.lost_items > 0, failure_seconds > 0) << workers << " workers";
      // A worker loses the item it computes, and of such long ones holds no other.
      EXPECT_LE(totals.lost_items, totals.failures);
    }
  }
}

TEST(QueueSimulation, ItemsAreHeldAheadOnlyAfterShortOnes) {
  const auto totals = [](double seconds, int64_t prefetch) {
    QueueSimulation queue({.workers = 3,
                           .prefetch = prefetch,
                           .lease_seconds = 1,
                           .failure_seconds = 40 * seconds,
                           .restart_seconds = 0});
    for (uint64_t batch = 0; batch < 10; ++batch) queue.run_batch(uneven_items(100, seconds, batch));
    return queue.totals();
  };
  const double limit = std::chrono::duration<double>(kShortItem).count();
  const auto longer = totals(2.1 * limit, 1);  // from 1.05 of the limit
  EXPECT_GT(longer.failures, 20);
  EXPECT_LE(longer.lost_items, longer.failures);
  EXPECT_EQ(longer.seconds, totals(2.1 * limit, 0).seconds);
  const auto shorter = totals(limit / 2, 1);
  EXPECT_GT(shorter.lost_items, 1.5 * static_cast<double>(shorter.failures));
  EXPECT_NE(shorter.seconds, totals(limit / 2, 0).seconds);
}

TEST(QueueSimulation, ALostItemComesBackWhenItsLeaseHasRunOut) {
  int lost = 0;
  // One worker that fails within the item: failure at f, restart at f + 5, item again at f + 30.
  for (uint64_t seed = 1; seed < 200; ++seed) {
    const SimulatedQueueConfig config{
        .workers = 1, .lease_seconds = 30, .failure_seconds = 100, .restart_seconds = 5, .seed = seed};
    const double first =
        -std::log1p(-RandomStream({.seed = seed, .purpose = "plan/failures"}).uniform()) * 100;
    QueueSimulation queue(config);
    queue.run_batch(equal_items(1, 50));
    if (first > 50) {
      EXPECT_DOUBLE_EQ(queue.totals().seconds, 50);
      EXPECT_EQ(queue.totals().lost_items, 0);
    } else if (queue.totals().lost_items == 1 && queue.totals().failures == 1) {
      ++lost;
      EXPECT_DOUBLE_EQ(queue.totals().seconds, first + 30 + 50) << seed;
      EXPECT_DOUBLE_EQ(queue.totals().lost_seconds, first) << seed;
    }
  }
  EXPECT_GT(lost, 20);
}

TEST(QueueSimulation, FailuresWhileTheCoordinatorWorksLoseNothing) {
  QueueSimulation queue({.workers = 3, .failure_seconds = 50, .restart_seconds = 1});
  queue.wait(1000);
  EXPECT_GT(queue.totals().failures, 20);
  EXPECT_EQ(queue.totals().lost_items, 0);
  EXPECT_EQ(queue.totals().lost_seconds, 0);
  queue.run_batch(equal_items(3, 0.001));
  EXPECT_EQ(queue.totals().items, 3);
}

/// Mean wall time over seeds.
double mean_seconds(int64_t workers, double failure_seconds) {
  constexpr int kSeeds = 20;
  double sum = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    QueueSimulation queue({.workers = workers, .failure_seconds = failure_seconds, .seed = seed});
    queue.run_batch(uneven_items(400, 10, seed));
    sum += queue.totals().seconds;
  }
  return sum / kSeeds;
}

TEST(QueueSimulation, FailuresOnlyAddTimeAndWorkersOnlyTakeItAway) {
  for (const double failure_seconds : {0.0, 600.0}) {
    double before = std::numeric_limits<double>::infinity();
    for (const int64_t workers : {1, 2, 4, 8, 16, 32, 64, 128}) {
      const double seconds = mean_seconds(workers, failure_seconds);
      EXPECT_LT(seconds, before) << workers << " workers";
      before = seconds;
    }
  }
  for (const int64_t workers : {1, 4, 16, 64}) {
    const double without = mean_seconds(workers, 0);
    const double rarely = mean_seconds(workers, 3000);
    const double often = mean_seconds(workers, 300);
    EXPECT_LT(without, rarely) << workers;
    EXPECT_LT(rarely, often) << workers;
  }
}

TEST(QueueSimulation, FailuresComeAsOftenAsAsked) {
  QueueSimulation queue({.workers = 100, .failure_seconds = 10 * kHour, .restart_seconds = 0});
  queue.wait(1000 * kHour);
  // 10,000 expected, standard deviation 100.
  EXPECT_NEAR(static_cast<double>(queue.totals().failures), 10000, 500);
}

TEST(QueueSimulation, AWorkerFetchesABlockOfCandidatesOnceABatch) {
  QueueSimulation alone({.workers = 1});
  alone.run_batch(uneven_items(80, 1, 1));
  EXPECT_EQ(alone.totals().fetched_bytes, 8 * 100);
  alone.run_batch(uneven_items(80, 1, 1));
  EXPECT_EQ(alone.totals().fetched_bytes, 2 * 8 * 100);
  QueueSimulation many({.workers = 80});
  many.run_batch(uneven_items(80, 1, 1));
  EXPECT_EQ(many.totals().fetched_bytes, 80 * 100);
}

TEST(QueueSimulation, RepeatsAndDependsOnTheSeed) {
  const auto run = [](uint64_t seed) {
    QueueSimulation queue({.workers = 7, .failure_seconds = 100, .seed = seed});
    for (uint64_t batch = 0; batch < 5; ++batch) queue.run_batch(uneven_items(100, 3, batch));
    return queue.totals().seconds;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST(QueueSimulation, SaysWhenWorkersFailFasterThanTheyCompute) {
  QueueSimulation queue({.workers = 2, .failure_seconds = 1, .restart_seconds = 0});
  EXPECT_THROW(queue.run_batch(equal_items(1, 1000)), InfrastructureError);
}

TEST(QueueSimulation, RefusesWhatIsNoTime) {
  EXPECT_THROW(QueueSimulation({.workers = 0}), std::invalid_argument);
  EXPECT_THROW(QueueSimulation({.workers = 1, .lease_seconds = -1}), std::invalid_argument);
  QueueSimulation queue({.workers = 1});
  EXPECT_THROW(queue.wait(std::nan("")), std::invalid_argument);
  EXPECT_THROW(queue.run_batch(equal_items(1, -1)), std::invalid_argument);
}

TEST(QueueSimulation, AgreesWithTheQueueOfThreads) {
  // Items that sleep need no processor: a busy machine computes them on time.
  const auto seconds_of = [](const WorkItem& item) {
    return 0.02 * (1 + static_cast<double>(item.samples.front().sample % 4));
  };
  using Clock = std::chrono::steady_clock;
  std::vector<SampleId> samples;
  for (int64_t i = 0; i < 40; ++i) samples.push_back({0, i});
  const auto items = partition({}, nullptr, samples, 1, 1);
  const testing::TemporaryDirectory folder;
  const RunDirectory run = RunDirectory::create(folder / "run");
  // From the first item's begin to the last one's end: the journal's disk has no part in it.
  const auto seconds_with = [&](int workers) {
    std::mutex mutex;
    auto first = Clock::time_point::max(), last = Clock::time_point::min();
    ThreadQueue queue;
    const WorkerThreads threads(
        queue,
        [&]() -> Evaluator {
          return [&](const WorkItem& item) {
            const auto begin = Clock::now();
            std::this_thread::sleep_for(std::chrono::duration<double>(seconds_of(item)));
            const std::lock_guard lock(mutex);
            first = std::min(first, begin);
            last = std::max(last, Clock::now());
            WorkResult result;
            result.records.resize(1);
            return result;
          };
        },
        workers);
    Coordinator coordinator(CoordinatorOptions(), run, queue);
    coordinator.run_batch(items);
    discard_journal(run, {});
    return std::chrono::duration<double>(last - first).count();
  };
  for (const int workers : {1, 3, 8}) {
    std::vector<SimulatedItem> simulated;
    for (const auto& item : items) simulated.push_back({seconds_of(item), -1, 0});
    QueueSimulation simulation({.workers = workers, .prefetch = 0});
    simulation.run_batch(simulated);
    const double limit = 1.5 * simulation.totals().seconds + 0.1;
    double least = std::numeric_limits<double>::infinity();
    // A machine that stops for a moment is given another chance.
    for (int attempt = 0; attempt < 5 && least > limit; ++attempt) {
      const double real = seconds_with(workers);
      EXPECT_GE(real, 0.99 * simulation.totals().seconds) << workers;
      least = std::min(least, real);
    }
    EXPECT_LE(least, limit) << workers;
  }
}

TEST(QueueSimulation, AThousandWorkersForSixHundredAndSeventyGenerationsTakeSeconds) {
  const std::clock_t begin = std::clock();
  QueueSimulation queue({.workers = 1000, .failure_seconds = 24 * kHour});
  const auto items = uneven_items(4096, 10, 1);
  for (int generation = 0; generation < 670; ++generation) {
    queue.run_batch(items);
    queue.wait(10);
  }
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;  // of the processor
  EXPECT_EQ(queue.totals().items, 670 * 4096);
  EXPECT_LT(seconds, 30);  // about 2
}

}  // namespace
}  // namespace namm::evolution
