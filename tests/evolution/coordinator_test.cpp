#include "evolution/coordinator.h"

#include <fstream>
#include <mutex>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/journal.h"
#include "tests/evolution/support/fake_run.h"
#include "tests/support/temporary_directory.h"

namespace namm::evolution {
namespace {

using testing::FakeRun;
using ::testing::HasSubstr;
using testing::TemporaryDirectory;

template <class Exception>
std::string thrown_text(const std::function<void()>& action) {
  try {
    action();
  } catch (const Exception& error) {
    return error.what();
  }
  return "";
}

std::size_t files_in(const std::filesystem::path& directory) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(directory), {}));
}

TEST(Coordinator, ResultDoesNotDependOnNumberAndOrderOfThreads) {
  const TemporaryDirectory directory;
  for (const std::string kind : {"cma-es", "cr-fm-nes"}) {
    std::set<std::string> hashes;
    for (const int threads : {1, 2, 4, 2}) {
      FakeRun run{directory / (kind + std::to_string(hashes.size()) + "-" + std::to_string(threads))};
      std::filesystem::remove_all(run.directory);
      run.kind = kind;
      run.threads = threads;
      hashes.insert(run.continue_run(testing::uneven_evaluator()).state_sha256);
    }
    EXPECT_EQ(hashes.size(), 1u);
  }
}

TEST(Coordinator, WritesRowsCheckpointsAndBest) {
  const TemporaryDirectory directory;
  std::vector<GenerationRow> rows;
  FakeRun run{directory / "run"};
  run.rows = &rows;
  const StageOutcome outcome = run.continue_run(testing::fake_result);
  EXPECT_EQ(outcome.generation, 5);
  EXPECT_EQ(double_of(outcome.statistics, "count"), 3);
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_EQ(rows.back().state_sha256, outcome.state_sha256);
  EXPECT_EQ(rows[0].evaluations, 8 * 6);
  EXPECT_EQ(rows[1].evaluations, 8 * 6 + 3);
  EXPECT_FALSE(rows[0].validation);
  EXPECT_TRUE(rows[1].validation);
  EXPECT_TRUE(rows[4].validation) << "the last mean is validated too";
  EXPECT_EQ(rows[0].cache_fraction, 0.5);
  EXPECT_GE(rows[0].best, rows[0].median);
  double best = -1e300;
  int64_t best_generation = 0;
  for (const GenerationRow& row : rows) {
    if (row.validation && *row.validation > best) {
      best = *row.validation;
      best_generation = row.generation + 1;
    }
  }
  EXPECT_EQ(outcome.best.validation, best);
  EXPECT_EQ(outcome.best.generation, best_generation);

  const RunDirectory opened = RunDirectory::open(run.directory);
  const auto log = opened.log_rows();
  ASSERT_EQ(log.size(), 5u);
  for (const char* key : {"generation", "stage", "best", "mean", "median", "sigma", "cache_fraction",
                          "evaluations", "reissued", "seconds", "state_sha256"}) {
    EXPECT_TRUE(log[2].contains(key)) << key;
  }
  EXPECT_EQ(log[4]["state_sha256"], outcome.state_sha256);
  EXPECT_EQ(opened.checkpoints().size(), 3u) << "keep_checkpoints";
  EXPECT_EQ(files_in(run.directory / "journal"), 0u) << "journals of finished generations are gone";
}

TEST(Coordinator, FinishedStageIsNotRunAgain) {
  const TemporaryDirectory directory;
  FakeRun run{directory / "run"};
  const StageOutcome first = run.continue_run(testing::fake_result);
  const StageOutcome again =
      run.continue_run([](const WorkItem&) -> WorkResult { throw std::runtime_error("evaluated"); });
  EXPECT_EQ(again.state_sha256, first.state_sha256);
  EXPECT_EQ(again.mean, first.mean);
  EXPECT_EQ(again.best.mean, first.best.mean);
}

TEST(Coordinator, StagesCountGenerationsThrough) {
  const TemporaryDirectory directory;
  FakeRun first{directory / "run"};
  first.generations = 3;
  first.continue_run(testing::fake_result);
  std::vector<GenerationRow> rows;
  FakeRun second = first;
  second.stage = 1;
  second.rows = &rows;
  const StageOutcome outcome = second.continue_run(testing::fake_result);
  EXPECT_EQ(outcome.generation, 6);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].generation, 3);
  EXPECT_EQ(rows[0].stage, 1);
  EXPECT_EQ(RunDirectory::open(first.directory).log_rows().size(), 6u);
  // Resumed later, neither stage runs again.
  const auto refuse = [](const WorkItem&) -> WorkResult { throw std::runtime_error("evaluated"); };
  EXPECT_NO_THROW(first.continue_run(refuse));
  EXPECT_EQ(second.continue_run(refuse).state_sha256, outcome.state_sha256);
}

TEST(Coordinator, StageBeginsWhereTheOneBeforeEndedAlsoWithoutItsLastCheckpoint) {
  const TemporaryDirectory directory;
  std::string expected;
  for (const bool damaged : {false, true}) {
    FakeRun first{directory / (damaged ? "damaged" : "undisturbed")};
    first.generations = 3;
    EXPECT_EQ(first.continue_run(testing::fake_result).generation, 3);
    if (damaged) std::filesystem::resize_file(first.directory / "checkpoints/generation_000003.h5", 500);
    FakeRun second = first;
    second.stage = 1;
    second.first_generation = 3;
    const std::string state = second.continue_run(testing::fake_result).state_sha256;
    expected = damaged ? expected : state;
    EXPECT_EQ(state, expected);
    const auto rows = RunDirectory::open(first.directory).log_rows();
    ASSERT_EQ(rows.size(), 6u);
    for (int64_t generation = 0; generation < 6; ++generation) {
      EXPECT_EQ(rows[generation]["generation"], generation);
    }
  }
}

TEST(Coordinator, TornLastRowIsCutBeforeTheNextOne) {
  const TemporaryDirectory directory;
  FakeRun run{directory / "run"};
  run.generations = 3;
  run.continue_run(testing::fake_result);
  std::ofstream(run.directory / "log.jsonl", std::ios::app) << "{\"generation\": 3, \"st";
  run.generations = 5;
  run.continue_run(testing::fake_result);
  EXPECT_EQ(RunDirectory::open(run.directory).log_rows().size(), 5u);
}

TEST(Coordinator, ReferenceOfTheValidationCountsOnce) {
  const TemporaryDirectory directory;
  std::vector<GenerationRow> rows;
  FakeRun run{directory / "run"};
  run.problem.with_reference = true;
  run.rows = &rows;
  std::atomic<bool> stop{false};
  run.stop_requested = [&] { return stop.load(); };
  EXPECT_THROW(run.continue_run([&](const WorkItem& item) {
    stop = item.id.generation == 2;
    return testing::fake_result(item);
  }),
               Interrupted);
  stop = false;
  run.continue_run(testing::fake_result);
  ASSERT_EQ(rows.size(), 5u);
  // Population, its reference, the validated mean; the validation's reference with the first of them.
  EXPECT_EQ(rows[0].evaluations, 8 * 6 + 6);
  EXPECT_EQ(rows[1].evaluations, 8 * 6 + 6 + 3 + 3);
  EXPECT_EQ(rows[3].evaluations, 8 * 6 + 6 + 3);
  EXPECT_EQ(rows[4].evaluations, 8 * 6 + 6 + 3);
}

TEST(Coordinator, ReferenceIsScoredOnTheSameSamples) {
  const TemporaryDirectory directory;
  FakeRun run{directory / "run"};
  run.problem.with_reference = true;
  std::mutex mutex;
  std::map<int64_t, std::set<SampleId>> reference, population;
  std::vector<GenerationRow> rows;
  run.rows = &rows;
  run.continue_run([&](const WorkItem& item) {
    const std::lock_guard lock(mutex);
    if (item.id.purpose == Purpose::reference && item.id.variant == 0) {
      reference[item.id.generation].insert(item.samples.begin(), item.samples.end());
      EXPECT_TRUE(item.members.empty());
    } else if (item.id.purpose == Purpose::population) {
      population[item.id.generation].insert(item.samples.begin(), item.samples.end());
    }
    return testing::fake_result(item);
  });
  EXPECT_EQ(reference, population);
  EXPECT_EQ(reference.size(), 5u);
  EXPECT_EQ(rows[0].evaluations, 8 * 6 + 6);
  EXPECT_EQ(files_in(run.directory / "journal"), 0u);
}

TEST(Coordinator, ItemFailingThreeTimesStopsTheRunAndIsNamed) {
  const TemporaryDirectory directory;
  FakeRun run{directory / "run"};
  std::atomic<int> attempts{0};
  const std::string text = thrown_text<InfrastructureError>([&] {
    run.continue_run([&](const WorkItem& item) {
      if (item.id == ItemId{0, Purpose::population, 2, 0, 3}) {
        EXPECT_EQ(item.attempt, ++attempts);
        throw std::runtime_error("device lost " + std::to_string(attempts));
      }
      return testing::fake_result(item);
    });
  });
  EXPECT_EQ(attempts, 3);
  EXPECT_THAT(text, HasSubstr("stage 0, generation 2, population item 3"));
  EXPECT_THAT(text, HasSubstr("failed 3 times"));
  EXPECT_THAT(text, HasSubstr("device lost 3"));
  // The fault repaired, the run goes on to the undisturbed result.
  const StageOutcome resumed = run.continue_run(testing::fake_result);
  FakeRun undisturbed{directory / "undisturbed"};
  EXPECT_EQ(resumed.state_sha256, undisturbed.continue_run(testing::fake_result).state_sha256);
}

TEST(Coordinator, FailuresBelowTheLimitChangeNothingButTheCount) {
  const TemporaryDirectory directory;
  FakeRun run{directory / "run"}, undisturbed{directory / "undisturbed"};
  std::vector<GenerationRow> rows;
  run.rows = &rows;
  const StageOutcome outcome = run.continue_run([](const WorkItem& item) {
    if (item.id.generation == 1 && item.id.index == 2 && item.attempt < 3) {
      throw std::runtime_error("once more");
    }
    return testing::fake_result(item);
  });
  EXPECT_EQ(outcome.state_sha256, undisturbed.continue_run(testing::fake_result).state_sha256);
  EXPECT_EQ(rows[0].reissued, 0);
  EXPECT_EQ(rows[1].reissued, 2);
}

TEST(Coordinator, ErrorsOfTheUserAreNotTriedAgain) {
  const TemporaryDirectory directory;
  FakeRun run{directory / "run"};
  const std::string text = thrown_text<DataError>([&] {
    run.continue_run([&](const WorkItem& item) -> WorkResult {
      if (item.id.generation == 1) {
        EXPECT_EQ(item.attempt, 1);
        throw DataError("facts.jsonl:7: not an object");
      }
      return testing::fake_result(item);
    });
  });
  EXPECT_EQ(text, "facts.jsonl:7: not an object");
}

TEST(Coordinator, NanRanksLastAndIsCounted) {
  const TemporaryDirectory directory;
  std::vector<GenerationRow> rows;
  FakeRun run{directory / "run"};
  run.rows = &rows;
  run.continue_run([](const WorkItem& item) {
    WorkResult result = testing::fake_result(item);
    if (item.id.purpose == Purpose::population && item.members.front() == 0) {
      result.records[0].values[0] = std::numeric_limits<double>::quiet_NaN();
    }
    return result;
  });
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_EQ(rows[0].non_finite, 1);
  EXPECT_TRUE(std::isfinite(rows[0].mean));
}

TEST(Coordinator, GenerationOfOnlyNanStopsWithTheStateSaved) {
  const TemporaryDirectory directory;
  FakeRun run{directory / "run"};
  const std::string text = thrown_text<InfrastructureError>([&] {
    run.continue_run([](const WorkItem& item) {
      WorkResult result = testing::fake_result(item);
      if (item.id.generation == 2) {
        for (Record& record : result.records) {
          record.values[0] = std::numeric_limits<double>::infinity();
        }
      }
      return result;
    });
  });
  EXPECT_THAT(text, HasSubstr("generation 2"));
  EXPECT_THAT(text, HasSubstr("all 8 members"));
  EXPECT_EQ(newest_checkpoint(RunDirectory::open(run.directory))->generation, 2);
}

TEST(Coordinator, GenerationOfOnlyNanIsComputedAgainOnceItsCauseIsRepaired) {
  const TemporaryDirectory directory;
  FakeRun run{directory / "run"}, undisturbed{directory / "undisturbed"};
  EXPECT_THROW(run.continue_run([](const WorkItem& item) {
    WorkResult result = testing::fake_result(item);
    if (item.id.generation == 2) {
      for (Record& record : result.records) {
        record.values[0] = std::numeric_limits<double>::quiet_NaN();
      }
    }
    return result;
  }),
               InfrastructureError);
  EXPECT_EQ(run.continue_run(testing::fake_result).state_sha256,
            undisturbed.continue_run(testing::fake_result).state_sha256);
}

TEST(Coordinator, ResultsOfAnotherShapeAreFailuresAndNeverJournalled) {
  const TemporaryDirectory directory;
  FakeRun run{directory / "run"}, undisturbed{directory / "undisturbed"};
  // As a worker of another program may post it: the sizes of the item, but no records.
  class Damaging : public ThreadQueue {
   public:
    std::vector<WorkResult> gather(std::chrono::milliseconds wait) override {
      auto results = ThreadQueue::gather(wait);
      for (WorkResult& result : results) {
        if (result.id.generation == 1 && result.id.purpose == Purpose::population) {
          result.records.clear();
          result.bytes = "some";
          damaged = encode(result);
        }
      }
      return results;
    }
    std::string damaged;
  };
  const auto with_workers = [&](ThreadQueue& queue) {
    const WorkerThreads workers(
        queue, [] { return Evaluator(testing::fake_result); }, 2);
    return run.continue_on(queue);
  };
  Damaging damaging;
  EXPECT_THAT(thrown_text<InfrastructureError>([&] { with_workers(damaging); }), HasSubstr("another shape"));
  // Nor is one taken from a journal.
  const auto journal = run.directory / "journal" / journal_name({0, Purpose::population, 1, 0, 0});
  ASSERT_TRUE(std::filesystem::exists(journal));
  Journal::open(journal, run.config_sha256).append(damaging.damaged);
  ThreadQueue queue;
  EXPECT_EQ(with_workers(queue).state_sha256, undisturbed.continue_run(testing::fake_result).state_sha256);
}

TEST(Coordinator, StageThatEndsByItsTolerancesKeepsItsLastGeneration) {
  const TemporaryDirectory directory;
  FakeRun run{directory / "run"};
  run.termination = true;
  run.generations = 2000;
  run.validate_every = 7;
  std::vector<GenerationRow> rows;
  run.rows = &rows;
  std::atomic<int64_t> evaluated{0};
  const auto noise_free = [&](const WorkItem& item) {
    ++evaluated;
    WorkResult result = testing::fake_result(item);
    for (int64_t row = 0; row < item.rows() && !item.members.empty(); ++row) {
      double score = 0;
      for (const float value : item.parameters(row)) {
        score -= std::pow(static_cast<double>(value) - 0.3, 2);
      }
      for (std::size_t sample = 0; sample < item.samples.size(); ++sample) {
        result.records[static_cast<std::size_t>(row) * item.samples.size() + sample].values[0] = score;
      }
    }
    return result;
  };
  const StageOutcome outcome = run.continue_run(noise_free);
  ASSERT_TRUE(outcome.stop);
  ASSERT_LT(outcome.generation, 2000);
  ASSERT_EQ(std::ssize(rows), outcome.generation);
  EXPECT_NE(outcome.generation % 7, 0) << "or it would be validated anyway";
  EXPECT_TRUE(rows.back().validation);
  EXPECT_EQ(rows.back().state_sha256, outcome.state_sha256);
  EXPECT_EQ(files_in(run.directory / "journal"), 0U);
  const int64_t before = evaluated;
  const StageOutcome again = run.continue_run(noise_free);
  EXPECT_EQ(evaluated, before);
  EXPECT_EQ(again.stop, outcome.stop);
  EXPECT_EQ(again.state_sha256, outcome.state_sha256);
  EXPECT_EQ(again.best.mean, outcome.best.mean);
}

TEST(Coordinator, WorkerThatWasInterruptedDoesNotInterruptTheRun) {
  const TemporaryDirectory directory;
  FakeRun run{directory / "run"}, undisturbed{directory / "undisturbed"};
  const StageOutcome outcome = run.continue_run([](const WorkItem& item) {
    if (item.id.generation == 1 && item.id.index == 2 && item.attempt < 3) {
      throw Interrupted("Ctrl-C there");
    }
    return testing::fake_result(item);
  });
  EXPECT_EQ(outcome.state_sha256, undisturbed.continue_run(testing::fake_result).state_sha256);
}

TEST(Coordinator, InterruptKeepsWhatIsInHand) {
  const TemporaryDirectory directory;
  FakeRun undisturbed{directory / "undisturbed"};
  const std::string expected = undisturbed.continue_run(testing::fake_result).state_sha256;
  for (const int64_t after : {1, 3, 20, 33}) {
    FakeRun run{directory / ("run" + std::to_string(after))};
    std::atomic<int64_t> evaluated{0};
    std::atomic<bool> stop{false};
    run.stop_requested = [&] { return stop.load(); };
    const auto counting = [&](const WorkItem& item) {
      if (++evaluated == after) {
        stop = true;
      }
      return testing::fake_result(item);
    };
    const std::string text = thrown_text<Interrupted>([&] { run.continue_run(counting); });
    EXPECT_THAT(text, HasSubstr("saved"));
    const int64_t before = evaluated;
    stop = false;
    const StageOutcome outcome = run.continue_run([&](const WorkItem& item) {
      ++evaluated;
      return testing::fake_result(item);
    });
    EXPECT_EQ(outcome.state_sha256, expected);
    // Everything that was begun counts: 3 calibration blocks do not cross tasks (2), 12 items a generation, 2
    // validation.
    EXPECT_EQ(evaluated, 2 + 5 * 12 + 3 * 2) << before;
  }
}

TEST(Coordinator, OtherConfigurationIsRefused) {
  const TemporaryDirectory directory;
  FakeRun run{directory / "run"};
  run.continue_run(testing::fake_result);
  run.config_sha256 = "another";
  EXPECT_THAT(thrown_text<DataError>([&] { run.continue_run(testing::fake_result); }),
              HasSubstr("another configuration"));
}

TEST(Coordinator, MissingCheckpointsAreNamed) {
  const TemporaryDirectory directory;
  FakeRun run{directory / "run"};
  run.continue_run(testing::fake_result);
  std::filesystem::remove_all(run.directory / "checkpoints");
  EXPECT_THAT(thrown_text<DataError>([&] { run.continue_run(testing::fake_result); }),
              HasSubstr("no checkpoint"));
}

TEST(Coordinator, ResultsForOtherContentAreNotTaken) {
  const TemporaryDirectory directory;
  const RunDirectory run = RunDirectory::create(directory / "run");
  const auto items =
      partition({0, Purpose::test, 0, 0, 0}, nullptr, {{0, 1}, {0, 2}}, 1, 1,
                std::make_shared<const std::string>(encode(NamedArrays{scalar_array("sum", 1.0)})));
  ThreadQueue queue;
  // A foreign result, a duplicate that differs, and one of the wrong content arrive first.
  const auto post = [&](int64_t index, const std::string& hash, double value) {
    WorkResult result;
    result.id = items[0].id;
    result.id.index = index;
    result.content_hash = hash;
    result.rows = result.samples = 1;
    result.records = {{{value}, ""}};
    result.worker = "stranger";
    queue.post(result);
  };
  post(99, items[0].content_hash(), 5);
  post(0, std::string(32, 'x'), 6);
  post(0, items[0].content_hash(), 7);
  post(0, items[0].content_hash(), 8);
  const WorkerThreads workers(
      queue, [] { return testing::fake_result; }, 1);
  Coordinator coordinator({}, run, queue);
  const auto results = coordinator.run_batch(items);
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0].at(0, 0).values[0], 7);
  EXPECT_NE(results[1].at(0, 0).values[0], 5);
}

TEST(Coordinator, BatchJournalIsUsedUntilDiscarded) {
  const TemporaryDirectory directory;
  const RunDirectory run = RunDirectory::create(directory / "run");
  const auto items =
      partition({0, Purpose::test, 0, 2, 0}, nullptr, {{0, 1}, {0, 2}, {1, 5}}, 1, 1,
                std::make_shared<const std::string>(encode(NamedArrays{scalar_array("sum", 1.0)})));
  std::atomic<int> evaluated{0};
  const auto run_once = [&](const std::vector<WorkItem>& batch) {
    ThreadQueue queue;
    const WorkerThreads workers(
        queue,
        [&]() -> Evaluator {
          return [&](const WorkItem& item) {
            ++evaluated;
            return testing::fake_result(item);
          };
        },
        2);
    Coordinator coordinator({}, run, queue);
    return coordinator.run_batch(batch);
  };
  const auto first = run_once(items);
  EXPECT_EQ(evaluated, 3);
  const auto second = run_once(items);
  EXPECT_EQ(evaluated, 3);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(first[i].same_outcome(second[i]));
  }
  // Changed items are computed again.
  auto changed = items;
  changed[1].payload = "budget 12";
  run_once(changed);
  EXPECT_EQ(evaluated, 4);
  discard_journal(run, items[0].id);
  run_once(items);
  EXPECT_EQ(evaluated, 7);
  EXPECT_TRUE(run_once({}).empty());
  EXPECT_THROW(run_once({items[0], items[0]}), std::invalid_argument);
}

TEST(Coordinator, JournalNamesAreReadBack) {
  for (const Purpose purpose :
       {Purpose::calibrate, Purpose::reference, Purpose::population, Purpose::validation, Purpose::test}) {
    const ItemId batch{3, purpose, 120, 2, 0};
    EXPECT_EQ(parse_journal_name(journal_name(batch)), batch);
  }
  EXPECT_EQ(journal_name({0, Purpose::population, 7, 1, 9}), "stage_0_generation_7_population_1.journal");
  for (const char* name :
       {"", "stage_0_generation_7_population_1", "stage_0_generation_7_population_1.journal.new",
        "stage_00_generation_7_population_1.journal", "stage_0_generation_7_other_1.journal",
        "stage_0_generation_7_populationpopulation_1.journal",
        "stage_0_generation_99999999999999999999_population_1.journal"}) {
    EXPECT_FALSE(parse_journal_name(name)) << name;
  }
}

TEST(Assemble, PutsRecordsInMemberAndSampleOrder) {
  const std::vector<SampleId> samples = {{0, 1}, {0, 2}, {1, 3}};
  const auto candidates = make_candidates(3, 1, {0, 0, 0});
  const auto items = partition({}, candidates, samples, 2, 2);
  std::vector<WorkResult> results;
  for (const WorkItem& item : items) {
    WorkResult result;
    result.rows = item.rows();
    result.samples = static_cast<int64_t>(item.samples.size());
    for (const int64_t member : item.members) {
      for (const SampleId& sample : item.samples) {
        result.records.push_back({{static_cast<double>(10 * member + sample.sample)}, ""});
      }
    }
    results.push_back(result);
  }
  const RecordTable table = assemble(items, results, 3, samples);
  for (int64_t member = 0; member < 3; ++member) {
    for (int64_t sample = 0; sample < 3; ++sample) {
      EXPECT_EQ(table.at(member, sample).values.at(0), static_cast<double>(10 * member + sample + 1));
    }
  }
  EXPECT_THROW(table.at(3, 0), std::out_of_range);
  results[1].records.pop_back();
  EXPECT_THROW(assemble(items, results, 3, samples), InfrastructureError);
}

}  // namespace
}  // namespace namm::evolution
