// The whole queue in one process, against a real server: what the thread sanitizer sees of it. Faults of
// processes are tested by the scripts beside this file.

#include "evolution/queues/nats_queue.h"

#include <atomic>
#include <set>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/log.h"
#include "evolution/queue_status.h"
#include "evolution/queues/nats_client.h"
#include "evolution/queues/nats_names.h"
#include "evolution/queues/nats_source.h"
#include "evolution/worker_service.h"
#include "tests/evolution/support/fake_run.h"
#include "tests/evolution/support/nats_server.h"
#include "tests/support/temporary_directory.h"

namespace namm::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

bool never() {
  return false;
}

class NatsQueueTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!NatsServer::installed())
      GTEST_SKIP() << "nats-server is not installed: nothing of the queue is tested";
    server.emplace(directory.path());
  }

  FakeRun fake_run(const std::string& name) const {
    FakeRun run{directory / name};
    run.generations = 3;
    return run;
  }

  static RunAnnouncement announcement(const FakeRun& run, const std::string& id) {
    RunAnnouncement made;
    made.run = id;
    made.name = "fake";
    made.config_sha256 = run.config_sha256;
    made.lease_seconds = 1;
    return made;
  }

  std::string undisturbed() const { return fake_run("threads").continue_run(fake_result).state_sha256; }

  const TemporaryDirectory directory;
  std::optional<NatsServer> server;
};

/// Workers of `serve_runs` on a thread; told to stop and waited for at the end.
class Service {
 public:
  Service(const NatsAddress& address, const std::string& name, int items_at_once, const Evaluator& evaluator,
          double patience_seconds = 30) {
    options_.address = address;
    options_.name = name;
    options_.items_at_once = items_at_once;
    options_.patience_seconds = patience_seconds;
    options_.stop_requested = [this] { return stop_.load(); };
    thread_ = std::thread([this, evaluator] {
      items_ = serve_runs(
          options_, [&](const RunAnnouncement&) -> EvaluatorFactory { return [&] { return evaluator; }; });
    });
  }
  ~Service() { stop(); }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  /// Number of items that were evaluated.
  int64_t stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return items_;
  }

 private:
  WorkerServiceOptions options_;
  std::atomic<bool> stop_{false};
  int64_t items_ = 0;
  std::thread thread_;
};

TEST_F(NatsQueueTest, WorkersOnOneConnectionReachTheStateOfThreads) {
  const FakeRun run = fake_run("run");
  NatsQueue queue(server->address(), announcement(run, "one"), never);
  std::string state;
  {
    std::atomic<bool> over{false};
    nats::NatsClient client(server->address(), "workers", false, never);
    std::vector<std::thread> workers;
    for (int i = 0; i < 3; ++i) {
      workers.emplace_back([&, i] {
        const std::string name = "thread " + std::to_string(i);
        NatsSource source(
            client, announcement(run, "one"), name, [&] { return over.load(); }, [] {});
        run_worker(
            source, [] { return uneven_evaluator(); }, name);
      });
    }
    state = run.continue_on(queue).state_sha256;
    over = true;
    for (std::thread& worker : workers) worker.join();
  }
  queue.finish();
  EXPECT_EQ(state, undisturbed());
}

TEST_F(NatsQueueTest, DamagedDataOfOneMachineDoNotEndTheRun) {
  std::atomic<int> failed{0};
  std::atomic<bool> beside_a_good_one{true}, good_one_works{false};
  const auto damaged = [&](const WorkItem&) -> WorkResult {
    // Alone for a while it would fail an item three times.
    while (beside_a_good_one && !good_one_works) std::this_thread::sleep_for(1ms);
    ++failed;
    throw DataError("facts.jsonl:7: not an object");
  };
  Service bad(server->address(), "bad", 1, damaged);
  {
    const FakeRun run = fake_run("one");
    NatsQueue queue(server->address(), announcement(run, "one"), never);
    Service good(server->address(), "good", 1, [&](const WorkItem& item) {
      good_one_works = true;
      return uneven_evaluator()(item);
    });
    EXPECT_EQ(run.continue_on(queue).state_sha256, undisturbed());
    queue.finish();
  }
  beside_a_good_one = false;
  // Where every machine says so, it ends as it would in one process.
  Service second(server->address(), "second", 1, damaged), third(server->address(), "third", 1, damaged);
  const FakeRun run = fake_run("two");
  NatsQueue queue(server->address(), announcement(run, "two"), never);
  const int before = failed;
  try {
    run.continue_on(queue);
    ADD_FAILURE() << "no error";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("facts.jsonl:7: not an object"));
    EXPECT_THAT(error.what(), HasSubstr("failed 3 times"));
  }
  EXPECT_GE(failed - before, 3);
}

TEST_F(NatsQueueTest, HundredsOfResultsThatWaitAreTakenOnceEach) {
  constexpr std::size_t kItems = 300;
  const FakeRun run = fake_run("run");
  NatsQueue queue(server->address(), announcement(run, "one"), never);
  nats::NatsClient client(server->address(), "test", false, never);
  Service workers(server->address(), "workers", 4, fake_result);
  std::vector<SampleId> samples(kItems);
  for (std::size_t i = 0; i < kItems; ++i) samples[i].sample = static_cast<int64_t>(i);
  for (int64_t generation = 0; generation < 4; ++generation) {
    const auto items = partition({0, Purpose::calibrate, generation, 0, 0}, nullptr, samples, 1, 1);
    queue.publish(items);
    const auto all_there = [&] {
      const auto results = client.stream_state(nats::results_stream("one"));
      return results && results->messages == kItems;
    };
    while (!all_there()) std::this_thread::sleep_for(20ms);
    std::set<ItemId> taken;
    std::size_t count = 0;
    while (taken.size() < kItems) {
      for (const WorkResult& result : queue.gather(100ms)) {
        taken.insert(result.id);
        ++count;
      }
    }
    EXPECT_EQ(count, kItems);
    queue.forget(items);
  }
  queue.finish();
}

TEST_F(NatsQueueTest, ServicesOfSeveralConnectionsServeOneRunAfterAnother) {
  Service first(server->address(), "first", 2, uneven_evaluator());
  Service second(server->address(), "second", 1, uneven_evaluator());
  for (const std::string id : {"one", "two"}) {
    const FakeRun run = fake_run(id);
    NatsQueue queue(server->address(), announcement(run, id), never);
    EXPECT_EQ(run.continue_on(queue).state_sha256, undisturbed()) << id;
    queue.finish();
  }
  EXPECT_GT(first.stop() + second.stop(), 0);
  EXPECT_TRUE(queued_runs(server->address()).empty());
}

TEST_F(NatsQueueTest, LeasesAreProlongedWhileItemsAreComputed) {
  FakeRun run = fake_run("run");
  run.generations = 1;
  RunAnnouncement short_lease = announcement(run, "one");
  short_lease.lease_seconds = 0.3;  // prolonged every 90 ms
  Service service(server->address(), "worker", 3, [](const WorkItem& item) {
    std::this_thread::sleep_for(200ms);
    return fake_result(item);
  });
  FakeRun undisturbed_run = fake_run("threads of one generation");
  undisturbed_run.generations = 1;
  NatsQueue queue(server->address(), short_lease, never);
  EXPECT_EQ(run.continue_on(queue).state_sha256, undisturbed_run.continue_run(fake_result).state_sha256);
  queue.finish();
}

TEST_F(NatsQueueTest, AServerKilledInTheMiddleLosesNothing) {
  FakeRun run = fake_run("run");
  std::atomic<int> evaluations{0};
  Service service(server->address(), "worker", 3, [&](const WorkItem& item) {
    ++evaluations;
    std::this_thread::sleep_for(20ms);
    return fake_result(item);
  });
  std::thread killer([&] {
    for (int kills = 1; kills <= 2; ++kills) {
      while (evaluations < 10 * kills) std::this_thread::sleep_for(1ms);
      server->kill();
      std::this_thread::sleep_for(200ms);
      server->start();
    }
  });
  {
    NatsQueue queue(server->address(), announcement(run, "one"), never);
    EXPECT_EQ(run.continue_on(queue).state_sha256, undisturbed());
    queue.finish();
  }
  killer.join();
  EXPECT_GE(service.stop(), 20);
}

TEST_F(NatsQueueTest, ASecondCoordinatorOfALivingOnesRunIsRefused) {
  const FakeRun run = fake_run("run");
  RunAnnouncement one = announcement(run, "one");
  one.lease_seconds = 5;  // a machine that stands still for a second does not let it run out
  {
    const NatsQueue queue(server->address(), one, never);
    EXPECT_THROW(NatsQueue(server->address(), one, never), ConfigError);
    EXPECT_NO_THROW(NatsQueue(server->address(), announcement(run, "two"), never));
  }
  EXPECT_NO_THROW(NatsQueue(server->address(), one, never));
}

TEST_F(NatsQueueTest, AnItemThatAWorkerHoldsForTooLongGoesToAnother) {
  FakeRun run = fake_run("run");
  run.generations = 1;
  FakeRun undisturbed_run = fake_run("threads of one generation");
  undisturbed_run.generations = 1;
  int64_t reissued = 0;
  run.on_generation = [&](const GenerationRow& row) { reissued += row.reissued; };
  RunAnnouncement limited = announcement(run, "one");
  limited.lease_seconds = 0.5;
  limited.item_limit_seconds = 0.5;
  NatsQueue queue(server->address(), limited, never);
  // Workers that know no limit, so that theirs is not what ends it.
  RunAnnouncement unlimited = limited;
  unlimited.item_limit_seconds = 0;
  std::atomic<bool> over{false}, hung{false};
  std::vector<std::thread> workers;
  nats::NatsClient client(server->address(), "workers", false, never);
  for (int i = 0; i < 2; ++i) {
    workers.emplace_back([&, i] {
      const std::string name = "thread " + std::to_string(i);
      NatsSource source(
          client, unlimited, name, [&] { return over.load(); }, [] {});
      const Evaluator evaluator = [&](const WorkItem& item) {
        const bool first =
            item.id.purpose == Purpose::population && item.id.index == 3 && !hung.exchange(true);
        while (first && !over) std::this_thread::sleep_for(10ms);
        return fake_result(item);
      };
      run_worker(
          source, [&] { return evaluator; }, name);
    });
  }
  EXPECT_EQ(run.continue_on(queue).state_sha256, undisturbed_run.continue_run(fake_result).state_sha256);
  over = true;
  for (std::thread& worker : workers) worker.join();
  queue.finish();
  EXPECT_TRUE(hung);
  EXPECT_GE(reissued, 1);
}

TEST(NatsNames, SubjectsOfAcknowledgementsAreRead) {
  const auto facts =
      nats::acknowledged_delivery("$JS.ACK.NAMM_run_ITEMS.workers.2.31.40.1700000000000000000.5");
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->deliveries, 2);
  EXPECT_EQ(facts->stream_sequence, 31U);
  for (const char* other :
       {"", "$JS.ACK", "$JS.ACK.a.b.2.31.40.1", "$JS.ACK.a.b.2.x.40.1.5", "$JS.ACK.a.b.2 .3.40.1.5",
        "$JS.API.a.b.2.31.40.1.5", "$JS.ACK.a.b.2.99999999999999999999999.40.1.5"}) {
    EXPECT_FALSE(nats::acknowledged_delivery(other)) << other;
  }
}

/// Wakes a frozen server after so long, or when it ends.
class Alarm {
 public:
  Alarm(NatsServer& server, std::chrono::seconds after) : server_(server) {
    thread_ = std::thread([this, after] {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, after, [this] { return over_; });
      server_.wake();
    });
  }
  ~Alarm() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

 private:
  NatsServer& server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;
};

TEST_F(NatsQueueTest, ACoordinatorThatFailsEndsThoughTheServerIsFrozen) {
  constexpr auto kFrozen = 90s;
  const auto begin = std::chrono::steady_clock::now();
  std::optional<Alarm> alarm;
  FakeRun run = fake_run("run");
  const auto serve = [&] {
    NatsQueue queue(server->address(), announcement(run, "one"), never);
    std::atomic<bool> over{false};
    std::thread worker([&] {
      nats::NatsClient client(server->address(), "worker", false, [&] { return over.load(); });
      NatsSource source(
          client, announcement(run, "one"), "worker", [&] { return over.load(); }, [] {});
      run_worker(
          source, [] { return fake_result; }, "worker");
    });
    run.on_generation = [&](const GenerationRow&) {
      server->freeze();
      alarm.emplace(*server, kFrozen);
      over = true;
      throw InfrastructureError("the disk is full");
    };
    try {
      run.continue_on(queue);
    } catch (...) {
      worker.join();
      throw;
    }
  };
  EXPECT_THROW(serve(), InfrastructureError);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kFrozen / 2);
  alarm.reset();
}

TEST_F(NatsQueueTest, AMessageThatTheServerTakesForARepetitionIsNoSuccess) {
  nats::NatsClient client(server->address(), "test", false, never);
  client.ensure_stream("TEST", "test.>", true);
  EXPECT_TRUE(client.publish("test.a", "one", "first"));
  EXPECT_THROW(client.publish("test.a", "two", "first"), InfrastructureError);
  EXPECT_TRUE(client.publish("test.a", "one", "first", true)) << "sent again, its answer lost";
  EXPECT_TRUE(client.publish_all({{"test.a", "one", "second"}, {"test.b", "two", "third"}}));
  EXPECT_THROW(client.publish_all({{"test.a", "one", "fourth"}, {"test.b", "three", "third"}}),
               InfrastructureError);
  EXPECT_TRUE(client.publish_all({{"test.a", "one", ""}, {"test.a", "one", ""}})) << "without an id";
  EXPECT_EQ(client.stream_state("TEST")->messages, 6U);
}

/// A run that goes on until it is told to end, on a thread.
class EndlessRun {
 public:
  EndlessRun(const NatsAddress& address, FakeRun run, const RunAnnouncement& announcement) {
    run.generations = 1'000'000;
    run.stop_requested = [this] { return over_.load(); };
    run.on_generation = [this](const GenerationRow&) { ++generations_; };
    thread_ = std::thread([this, address, run, announcement] {
      NatsQueue queue(address, announcement, run.stop_requested);
      EXPECT_THROW(run.continue_on(queue), Interrupted);
    });
  }
  ~EndlessRun() {
    over_ = true;
    thread_.join();
  }
  EndlessRun(const EndlessRun&) = delete;
  EndlessRun& operator=(const EndlessRun&) = delete;

  bool reaches(int generations) const {
    for (int i = 0; i < 1200 && generations_ < generations; ++i) std::this_thread::sleep_for(100ms);
    return generations_ >= generations;
  }
  int generations() const { return generations_; }

 private:
  std::atomic<bool> over_{false};
  std::atomic<int> generations_{0};
  std::thread thread_;
};

Evaluator items_of_milliseconds(int milliseconds) {
  return [milliseconds](const WorkItem& item) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    return fake_result(item);
  };
}

TEST_F(NatsQueueTest, AWorkerTakesTheRunWithFewerWorkers) {
  const EndlessRun one(server->address(), fake_run("one"), announcement(fake_run("one"), "one"));
  const Service first(server->address(), "first", 1, items_of_milliseconds(20));
  ASSERT_TRUE(one.reaches(1));
  const EndlessRun two(server->address(), fake_run("two"), announcement(fake_run("two"), "two"));
  nats::NatsClient client(server->address(), "test", false, never);
  const auto has_items = [&] {
    const auto items = client.consumer_state(nats::items_stream("two"), nats::kWorkersConsumer);
    return items && items->pending > 0;
  };
  while (!has_items()) std::this_thread::sleep_for(10ms);
  const Service second(server->address(), "second", 1, items_of_milliseconds(20));
  EXPECT_TRUE(two.reaches(2));
  EXPECT_TRUE(one.reaches(one.generations() + 2));
}

TEST_F(NatsQueueTest, ARunThatComesLaterGetsWorkersOfOneThatHasMany) {
  const EndlessRun one(server->address(), fake_run("one"), announcement(fake_run("one"), "one"));
  const Service first(server->address(), "first", 1, items_of_milliseconds(20), 1);
  const Service second(server->address(), "second", 1, items_of_milliseconds(20), 1);
  ASSERT_TRUE(one.reaches(2));
  const EndlessRun two(server->address(), fake_run("two"), announcement(fake_run("two"), "two"));
  EXPECT_TRUE(two.reaches(2));
  EXPECT_TRUE(one.reaches(one.generations() + 2));
}

TEST_F(NatsQueueTest, ARunThatCompletesBetweenTheTwoLooksOfStatusHasNoState) {
  const FakeRun run = fake_run("run");
  RunAnnouncement long_lease = announcement(run, "one");
  long_lease.lease_seconds = 6;  // looked at again after half of it
  NatsQueue queue(server->address(), long_lease, never);
  std::vector<QueuedRun> seen;
  std::thread looking([&] { seen = queued_runs(server->address()); });
  std::this_thread::sleep_for(1500ms);
  queue.finish();
  looking.join();
  for (const QueuedRun& still_there : seen) EXPECT_TRUE(still_there.coordinated);
}

TEST_F(NatsQueueTest, AWrongTokenIsRefused) {
  NatsAddress address = server->address();
  address.url.replace(address.url.find("a-token"), 7, "another");
  const FakeRun run = fake_run("run");
  EXPECT_THROW(NatsQueue(address, announcement(run, "one"), never), ConfigError);
  EXPECT_THROW(queued_runs(address), ConfigError);
}

}  // namespace
}  // namespace namm::testing
