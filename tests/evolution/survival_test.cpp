#include <atomic>
#include <fstream>
#include <new>
#include <set>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/errors.h"
#include "core/files.h"
#include "core/journal.h"
#include "core/log.h"
#include "core/random.h"
#include "tests/evolution/support/fake_run.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/temporary_directory.h"

/// A coordinator killed at any moment and resumed reaches the state that an undisturbed one reaches.
namespace namm::evolution {
namespace {

using testing::FakeRun;
using testing::TemporaryDirectory;

/// How often each item was evaluated, counted across processes.
struct Counters {
  static constexpr int64_t kPlaces = 4096;
  std::atomic<int32_t> total;
  std::atomic<int32_t> items[kPlaces];

  static int64_t place(const ItemId& id) {
    return (id.generation * 5 + static_cast<int64_t>(id.purpose)) * 32 + id.index;
  }
};

class Survival : public ::testing::Test {
 protected:
  void SetUp() override {
    void* memory =
        ::mmap(nullptr, sizeof(Counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    counters_ = new (memory) Counters();
    set_log_level(LogLevel::error);
    FakeRun undisturbed{directory_ / "undisturbed"};
    expected_ = undisturbed.continue_run(testing::fake_result).state_sha256;
  }
  void TearDown() override {
    set_log_level(LogLevel::info);
    ::munmap(counters_, sizeof(Counters));
  }

  /// Runs in a child process; the child kills itself with -9 before its `kill_at`-th evaluation (0: never),
  /// at the moment that `wait` returns.
  pid_t start(
      const FakeRun& run, int32_t kill_at, int microseconds, const std::function<void()>& wait = [] {}) {
    run.make_directory();
    const pid_t child = ::fork();
    if (child != 0) {
      return child;
    }
    std::atomic<int32_t> evaluated{0};
    int code = 1;
    try {
      run.continue_run([&](const WorkItem& item) {
        if (++evaluated == kill_at) {
          wait();
          ::raise(SIGKILL);
        }
        ++counters_->total;
        ++counters_->items[Counters::place(item.id) % Counters::kPlaces];
        std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
        return testing::fake_result(item);
      });
      code = 0;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "child: %s\n", error.what());
    }
    ::_exit(code);
  }

  static int wait_for(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
  }

  std::string final_hash(const FakeRun& run) {
    return run.continue_run([](const WorkItem&) -> WorkResult { throw std::runtime_error("not finished"); })
        .state_sha256;
  }

  TemporaryDirectory directory_;
  Counters* counters_ = nullptr;
  std::string expected_;
};

TEST_F(Survival, KilledAtRandomMomentsAndResumed) {
  RandomStream stream({.seed = 3, .purpose = "kills"});
  for (int round = 0; round < 3; ++round) {
    FakeRun run{directory_ / ("run" + std::to_string(round))};
    run.threads = 1 + round % 3;
    int kills = 0, attempts = 0;
    for (;; ++attempts) {
      ASSERT_LT(attempts, 200);
      // The first attempt is so slow that it cannot be done before it is killed.
      const pid_t child = start(run, 0, attempts == 0 ? 50000 : 300);
      // Short at first, or a fast machine is done before; longer and longer, or a slow one never is.
      ::usleep(
          static_cast<useconds_t>(1000 + stream.uniform_int(4000 * static_cast<uint64_t>(attempts + 1))));
      ::kill(child, SIGKILL);
      const int status = wait_for(child);
      if (WIFEXITED(status)) {
        ASSERT_EQ(WEXITSTATUS(status), 0);
        break;
      }
      ++kills;
    }
    EXPECT_GT(kills, 0);
    EXPECT_EQ(final_hash(run), expected_) << "after " << kills << " kills";
    const auto rows = RunDirectory::open(run.directory).log_rows();
    ASSERT_EQ(rows.size(), 5u);
    for (int64_t generation = 0; generation < 5; ++generation) {
      EXPECT_EQ(rows[generation]["generation"], generation);
    }
  }
}

TEST_F(Survival, JournaledItemsAreNotEvaluatedAgain) {
  // 2 calibration items, 12 items a generation and 2 validation items after every second.
  for (const int32_t kill_at : {1, 4, 15, 28, 41}) {
    FakeRun run{directory_ / ("run" + std::to_string(kill_at))};
    run.threads = 1;
    for (auto& count : counters_->items) {
      count = 0;
    }
    const int status = wait_for(start(run, kill_at, 0));
    ASSERT_TRUE(WIFSIGNALED(status)) << kill_at;
    std::set<ItemId> journaled;
    for (const auto& entry : std::filesystem::directory_iterator(run.directory / "journal")) {
      for (const std::string& record : Journal::read(entry.path(), run.config_sha256).records) {
        journaled.insert(decode_result(record).id);
      }
    }
    ASSERT_EQ(wait_for(start(run, 0, 0)), 0);
    for (const ItemId& id : journaled) {
      EXPECT_EQ(counters_->items[Counters::place(id)], 1) << describe(id);
    }
    for (const auto& count : counters_->items) {
      EXPECT_LE(count, 2);
    }
    EXPECT_EQ(final_hash(run), expected_);
  }
}

TEST_F(Survival, TornJournalTail) {
  FakeRun run{directory_ / "run"};
  run.threads = 1;
  const auto journals = [&] {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(run.directory / "journal")) {
      if (std::filesystem::file_size(entry.path()) > 200) found.push_back(entry.path());
    }
    return found;
  };
  // In the middle of a generation; the journal follows in its own time.
  const auto wait = [&] {
    while (journals().empty()) ::usleep(1000);
  };
  ASSERT_TRUE(WIFSIGNALED(wait_for(start(run, 24, 0, wait))));
  const auto torn = journals();
  ASSERT_FALSE(torn.empty());
  for (const auto& path : torn) {
    std::filesystem::resize_file(path, std::filesystem::file_size(path) - 37);
  }
  ASSERT_EQ(wait_for(start(run, 0, 0)), 0);
  EXPECT_EQ(final_hash(run), expected_);
}

TEST_F(Survival, CrashBetweenTemporaryFileAndRename) {
  FakeRun run{directory_ / "run"};
  run.threads = 1;
  ASSERT_TRUE(WIFSIGNALED(wait_for(start(run, 30, 0))));
  // What a writer leaves when it dies before the rename.
  const auto checkpoints = run.directory / "checkpoints";
  const std::string bytes = read_file(checkpoints / "generation_000002.h5");
  const auto left_over = checkpoints / "generation_000003.h5.tmp-4242-0";
  std::ofstream(left_over, std::ios::binary) << bytes.substr(0, bytes.size() / 2);
  ASSERT_EQ(wait_for(start(run, 0, 0)), 0);
  EXPECT_EQ(final_hash(run), expected_);
  EXPECT_FALSE(std::filesystem::exists(left_over));
}

TEST_F(Survival, TornNewestCheckpointFallsBackToTheOneBefore) {
  FakeRun run{directory_ / "run"};
  run.threads = 1;
  ASSERT_TRUE(WIFSIGNALED(wait_for(start(run, 44, 0))));
  const auto newest = RunDirectory::open(run.directory).checkpoints().back();
  ASSERT_GE(newest.generation, 2);
  std::filesystem::resize_file(newest.path, 900);
  ASSERT_EQ(wait_for(start(run, 0, 0)), 0);
  EXPECT_EQ(final_hash(run), expected_);
  EXPECT_EQ(RunDirectory::open(run.directory).log_rows().size(), 5u);
}

TEST_F(Survival, RowIsWrittenAgainWhenOnlyItsCheckpointSurvived) {
  FakeRun run{directory_ / "run"};
  run.threads = 1;
  ASSERT_TRUE(WIFSIGNALED(wait_for(start(run, 44, 0))));
  {
    const RunDirectory opened = RunDirectory::open(run.directory);
    auto rows = opened.log_rows();
    ASSERT_GE(rows.size(), 2u);
    rows.pop_back();
    opened.replace_log(rows);
  }
  ASSERT_EQ(wait_for(start(run, 0, 0)), 0);
  const auto rows = RunDirectory::open(run.directory).log_rows();
  ASSERT_EQ(rows.size(), 5u);
  for (int64_t generation = 0; generation < 5; ++generation) {
    EXPECT_EQ(rows[generation]["generation"], generation);
  }
  EXPECT_EQ(final_hash(run), expected_);
}

TEST_F(Survival, FullDisk) {
  FakeRun run{directory_ / "run"};
  for (const rlim_t bytes : {300, 1500, 6000, 9000}) {
    const testing::FileSizeLimit limit(bytes);
    EXPECT_THROW(run.continue_run(testing::fake_result), InfrastructureError) << bytes;
  }
  EXPECT_EQ(run.continue_run(testing::fake_result).state_sha256, expected_);
}

/// Makes more threads than the address space holds; ends with the error's exit code.
[[noreturn]] void make_too_many_threads() {
  const rlimit limit{1 << 28, 1 << 28};
  ::setrlimit(RLIMIT_AS, &limit);
  int code = 1;
  try {
    ThreadQueue queue;
    const auto factory = [] { return testing::fake_result; };
    const WorkerThreads workers(queue, factory, 1000);
  } catch (const InfrastructureError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    code = static_cast<int>(error.code());
  }
  ::_exit(code);
}

TEST(WorkerThreads, ThreadsThatTheSystemRefusesAreAnError) {
  EXPECT_EXIT(make_too_many_threads(), ::testing::ExitedWithCode(4),
              "thread [0-9]+ of 1000 cannot be made.*--threads");
}

}  // namespace
}  // namespace namm::evolution
