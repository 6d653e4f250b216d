// The whole queue in one process, against a real server: what the thread sanitizer sees of it. Faults of
// processes are tested by the scripts beside this file.

#include "evolution/queues/nats_queue.h"

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/log.h"
#include "evolution/queue_status.h"
#include "evolution/queues/nats_client.h"
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
  Service(const NatsAddress& address, const std::string& name, int items_at_once,
          const Evaluator& evaluator) {
    options_.address = address;
    options_.name = name;
    options_.items_at_once = items_at_once;
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
        NatsSource source(
            client, announcement(run, "one"), [&] { return over.load(); }, [] {});
        run_worker(
            source, [] { return uneven_evaluator(); }, "thread " + std::to_string(i));
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

TEST_F(NatsQueueTest, AWrongTokenIsRefused) {
  NatsAddress address = server->address();
  address.url.replace(address.url.find("a-token"), 7, "another");
  const FakeRun run = fake_run("run");
  EXPECT_THROW(NatsQueue(address, announcement(run, "one"), never), ConfigError);
  EXPECT_THROW(queued_runs(address), ConfigError);
}

}  // namespace
}  // namespace namm::testing
