#include <atomic>
#include <map>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "evolution/queues/threads.h"

namespace namm::evolution {
namespace {

using namespace std::chrono_literals;

std::vector<WorkItem> items_up_to(int64_t count) {
  std::vector<WorkItem> items(static_cast<std::size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    items[i].id.index = i;
    items[i].samples = {{0, i}};
  }
  return items;
}

Evaluator one_record() {
  return [](const WorkItem& item) {
    WorkResult result;
    result.records = {{{static_cast<double>(item.samples[0].sample)}, ""}};
    return result;
  };
}

std::vector<WorkResult> gather_count(Queue& queue, std::size_t count) {
  std::vector<WorkResult> all;
  while (all.size() < count) {
    for (WorkResult& result : queue.gather(100ms)) {
      all.push_back(std::move(result));
    }
  }
  return all;
}

TEST(ThreadQueue, NothingLostNothingTwice) {
  ThreadQueue queue;
  const WorkerThreads workers(
      queue, [] { return one_record(); }, 4);
  std::thread late([&] { queue.publish(items_up_to(300)); });
  const auto results = gather_count(queue, 300);
  late.join();
  std::set<int64_t> seen;
  for (const WorkResult& result : results) {
    EXPECT_TRUE(seen.insert(result.id.index).second);
    EXPECT_EQ(result.at(0, 0).values[0], static_cast<double>(result.id.index));
    EXPECT_EQ(result.content_hash.size(), 32u);
    EXPECT_EQ(result.worker.find("thread "), 0u);
  }
  EXPECT_EQ(seen.size(), 300u);
  EXPECT_TRUE(queue.gather(20ms).empty());
}

TEST(ThreadQueue, ClaimAndGatherWaitOnlySoLong) {
  ThreadQueue queue;
  EXPECT_FALSE(queue.claim(1ms));
  EXPECT_TRUE(queue.gather(1ms).empty());
}

TEST(ThreadQueue, WithdrawNamesWhatNobodyClaimed) {
  ThreadQueue queue;
  queue.publish(items_up_to(3));
  const auto claimed = queue.claim(1ms);
  ASSERT_TRUE(claimed);
  EXPECT_EQ(claimed->id.index, 0);
  const auto withdrawn = queue.withdraw();
  ASSERT_EQ(withdrawn.size(), 2u);
  EXPECT_EQ(withdrawn[0].index, 1);
  EXPECT_FALSE(queue.claim(1ms));
}

TEST(ThreadQueue, ClosingEndsTheWorkersAfterTheItemInHand) {
  ThreadQueue queue;
  std::atomic<int> started{0}, ended{0};
  {
    const WorkerThreads workers(
        queue,
        [&]() -> Evaluator {
          return [&](const WorkItem& item) {
            ++started;
            while (!queue.closed()) std::this_thread::sleep_for(1ms);
            ++ended;
            return one_record()(item);
          };
        },
        2);
    queue.publish(items_up_to(50));
    while (started == 0) {
      std::this_thread::sleep_for(1ms);
    }
  }
  EXPECT_EQ(started, ended);
  EXPECT_LE(ended, 2) << "an item a thread";
  EXPECT_TRUE(queue.closed());
  EXPECT_EQ(queue.gather(1ms).size(), static_cast<std::size_t>(ended));
}

WorkResult result_of(const EvaluatorFactory& factory) {
  ThreadQueue queue;
  const WorkerThreads workers(queue, factory, 1);
  queue.publish(items_up_to(1));
  return gather_count(queue, 1)[0];
}

TEST(Worker, TurnsExceptionsIntoFailureRecords) {
  const auto failing = [](auto error) {
    return [=]() -> Evaluator { return [=](const WorkItem&) -> WorkResult { throw error; }; };
  };
  const WorkResult plain = result_of(failing(std::runtime_error("boom")));
  EXPECT_EQ(plain.failure, "boom");
  EXPECT_EQ(plain.failure_code, ExitCode::infrastructure);
  EXPECT_EQ(result_of(failing(DataError("x.jsonl:3: bad"))).failure_code, ExitCode::data);
  EXPECT_EQ(result_of(failing(ConfigError("x"))).failure_code, ExitCode::config);
  EXPECT_EQ(result_of(failing(std::bad_alloc())).failure, "out of memory");
  EXPECT_TRUE(result_of(failing(42)).failed());
  EXPECT_TRUE(result_of(failing(std::runtime_error(""))).failed());
  // A worker that cannot start fails the item that it took.
  EXPECT_EQ(result_of([]() -> Evaluator { throw std::runtime_error("no model"); }).failure, "no model");
  // Neither may an evaluator leave records out.
  const WorkResult few =
      result_of([]() -> Evaluator { return [](const WorkItem&) { return WorkResult(); }; });
  EXPECT_NE(few.failure.find("0 records"), std::string::npos);
}

/// A queue with leases, as one between machines has them.
class LeasedQueue : public ThreadQueue {
 public:
  std::atomic<int> renewals{0};
  void renew(const WorkItem&) override {
    ++renewals;
  }
  std::chrono::milliseconds renew_interval() const override { return 5ms; }
};

TEST(Worker, RenewsTheLeaseWhileItWorks) {
  LeasedQueue queue;
  const WorkerThreads workers(
      queue,
      [&]() -> Evaluator {
        return [&](const WorkItem& item) {
          while (queue.renewals < 3) std::this_thread::sleep_for(1ms);
          return one_record()(item);
        };
      },
      1);
  queue.publish(items_up_to(1));
  gather_count(queue, 1);
  const int renewals = queue.renewals;
  EXPECT_GE(renewals, 3);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(queue.renewals, renewals);
}

}  // namespace
}  // namespace namm::evolution
