#include "experiments/plan.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <mutex>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/run_directory.h"
#include "evolution/coordinator.h"
#include "evolution/optimizer_list.h"
#include "evolution/queues/threads.h"
#include "experiments/coordinator_times.h"
#include "experiments/evaluation.h"
#include "experiments/expected_task.h"
#include "experiments/fitness.h"
#include "experiments/throughput_model.h"
#include "tests/support/temporary_directory.h"

namespace namm::experiments {
namespace {

using evolution::Purpose;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TemporaryDirectory;

ExperimentConfig shipped(const std::string& name, const std::vector<std::string>& overrides = {}) {
  const std::filesystem::path path = std::filesystem::path(NAMM_SOURCE_DIR) / "configs" / "run" / name;
  return read_config<ExperimentConfig>(ConfigDocument::load(path, overrides));
}

StageWork work_of(const ExperimentConfig& config, size_t index = 0) {
  return stage_work(config, index,
                    open_or_expect_tasks(config, index, config.model.max_positions).pointers());
}

std::vector<StageWork> works_of(const ExperimentConfig& config) {
  std::vector<StageWork> works;
  for (size_t i = 0; i < config.stages.size(); ++i) works.push_back(work_of(config, i));
  return works;
}

/// Every item of every kind takes `seconds`.
ItemTimes equal_times(const std::vector<StageWork>& works, double seconds) {
  ItemTimes times;
  times.device = "cpu";
  for (const auto& work : works) {
    for (const auto* items : work.all_items()) {
      for (const auto& item : *items) times.kinds[kind_of(work, item)] = {{seconds}, 100};
    }
  }
  return times;
}

/// Items that a real coordinator has computed for a stage, by purpose and variant.
std::map<std::pair<Purpose, int32_t>, int64_t> published(const ExperimentConfig& config) {
  const EvolveConfig& stage = *config.stages.at(0).evolve;
  const auto tasks = open_or_expect_tasks(config, 0, config.model.max_positions);
  const MemoryProblem problem(stage, SamplePlan(config.seed, tasks.pointers()), {});
  const std::vector<double> zero(static_cast<size_t>(config.memory.parameters()), 0.0);
  const auto optimizer = evolution::make_optimizer(config.evolution.optimizer, zero, config.seed);
  std::mutex mutex;
  std::map<std::pair<Purpose, int32_t>, int64_t> counts;
  const auto evaluate = [&](const evolution::WorkItem& item) {
    evolution::WorkResult result;
    const double score = item.members.empty() ? 0 : static_cast<double>(item.members.front());
    const auto records = static_cast<size_t>(item.rows()) * item.samples.size();
    result.records.assign(records, {Outcome{score, score, 1, 1}.to_values(), ""});
    if (item.id.purpose == Purpose::calibrate) {
      memory::FeatureStatistics statistics;
      statistics.count = 1;
      statistics.mean = statistics.m2 = {1};
      result.bytes = to_bytes(statistics.to_values());
    }
    const std::lock_guard lock(mutex);
    ++counts[{item.id.purpose, item.id.variant}];
    return result;
  };
  const TemporaryDirectory folder;
  const RunDirectory run = RunDirectory::create(folder / "run");
  evolution::ThreadQueue queue;
  const evolution::WorkerThreads workers(
      queue, [&]() -> evolution::Evaluator { return evaluate; }, 1);
  evolution::CoordinatorOptions options;
  options.schedule = config.evolution.schedule;
  evolution::Coordinator coordinator(options, run, queue);
  coordinator.evolve(problem, *optimizer, {stage.generations, stage.validation.every});
  return counts;
}

TEST(StageWork, IsWhatTheCoordinatorPublishes) {
  const std::string small = "evolution.base=" NAMM_SOURCE_DIR "/configs/evolution/cr-fm-nes.yaml";
  const std::vector<ExperimentConfig> configs{
      shipped("smoke.yaml", {"stages.0.evolve.generations=5", "stages.0.evolve.contexts_per_task=3",
                             "evolution.samples_per_item=2", "evolution.members_per_item=4"}),
      shipped("smoke.yaml", {"stages.0.evolve.fitness.shortfall_weight=1", "stages.0.evolve.generations=4"}),
      shipped("smoke.yaml", {"evolution.reevaluations=3", "evolution.members_per_item=2",
                             "stages.0.evolve.generations=4", "stages.0.evolve.fitness.shortfall_weight=1"}),
      shipped("smoke.yaml",
              {"stages.0.evolve.validation.shortfall_weight=1", "stages.0.evolve.validation.every=0"}),
      shipped("paper-stage-1.yaml",
              {small, "evolution.parity=false", "evolution.population=4", "stages.0.evolve.generations=7",
               "stages.0.evolve.contexts_per_task=5", "stages.0.evolve.validation.every=3",
               "stages.0.evolve.validation.contexts_per_task=6", "task.record_splits=disjoint",
               "evolution.samples_per_item=4"})};
  for (const auto& config : configs) {
    const StageWork work = work_of(config);
    auto counts = published(config);
    const auto all = std::accumulate(counts.begin(), counts.end(), int64_t{0},
                                     [](int64_t sum, const auto& count) { return sum + count.second; });
    EXPECT_EQ(work.items(), all) << config.name;
    EXPECT_EQ(std::ssize(work.calibration), (counts[{Purpose::calibrate, 0}]));
    EXPECT_EQ(std::ssize(work.population_of(0)) + (work.generations - 1) * std::ssize(work.population_of(1)),
              (counts[{Purpose::population, 0}]));
    EXPECT_EQ(work.generations * std::ssize(work.reference), (counts[{Purpose::reference, 0}]));
    EXPECT_EQ(std::ssize(work.validation_reference), (counts[{Purpose::reference, 1}]));
    EXPECT_EQ(work.validations(work.generations) * std::ssize(work.validation),
              (counts[{Purpose::validation, 0}]));
  }
}

TEST(StageWork, NeedsNoFile) {
  for (const auto* name : {"quickstart.yaml", "smoke.yaml", "paper-stage-3.yaml", "smollm2-evolve.yaml"}) {
    const auto config = shipped(name, {"haystack=/nowhere/text.txt", "data.longbench=/nowhere"});
    for (size_t i = 0; i < config.stages.size(); ++i) {
      const auto expected = expect_tasks(config, i);
      EXPECT_EQ(stage_work(config, i, expected.pointers()).items(), work_of(shipped(name), i).items())
          << name;
    }
  }
}

TEST(StageWork, OfThePapersStages) {
  for (const int stage : {1, 2, 3}) {
    const StageWork work = work_of(shipped("paper-stage-" + std::to_string(stage) + ".yaml"));
    EXPECT_EQ(work.parameters, 4172);
    EXPECT_EQ(std::ssize(work.population), 32 * 64 * stage);
    EXPECT_EQ(std::ssize(work.reference), 64 * stage);
    EXPECT_EQ(std::ssize(work.validation), 200 * stage);
    EXPECT_EQ(work.validations(work.generations), 30);
    // Later stages go on with the statistics of the first.
    EXPECT_EQ(std::ssize(work.calibration), stage == 1 ? 200 : 0);
  }
}

TEST(StageWork, ShiftsAndEvaluations) {
  const auto works = works_of(shipped("quickstart.yaml"));
  // 5 shifts in blocks of 4 members, 3 tasks x 24 contexts in blocks of 2.
  EXPECT_EQ(std::ssize(works[0].shifts), 2 * 3 * 12);
  EXPECT_EQ(std::ssize(works[1].test), 5 * 48);
  EXPECT_EQ(works[1].items(), 5 * 48);
}

TEST(ExpectedTask, CountsTheOfficialRecords) {
  tasks::TaskConfig config;
  config.record_splits = "shared";
  const auto shared = make_expected_task("longbench/dureader", config);
  EXPECT_EQ(shared->count(tasks::Split::train), 200);
  EXPECT_EQ(shared->count(tasks::Split::test), 200);
  EXPECT_EQ(shared->info().generation_tokens, 128);
  config.record_splits = "disjoint";
  const auto disjoint = make_expected_task("infinitebench/longbook_sum_eng", config);
  EXPECT_EQ(disjoint->count(tasks::Split::train), 41);
  EXPECT_EQ(disjoint->count(tasks::Split::validation), 10);
  EXPECT_EQ(disjoint->count(tasks::Split::test), 52);
  EXPECT_THROW(make_expected_task("longbench/none", config), ConfigError);
  EXPECT_FALSE(make_expected_task("needle/hop", config)->count(tasks::Split::train).has_value());
}

TEST(ExpectedTask, EveryTaskHasALengthOrALimit) {
  tasks::TaskConfig config;
  for (const auto& name : tasks::task_names()) {
    EXPECT_GT(expected_length(name, config, 32768).tokens, 0) << name;
    EXPECT_LE(expected_length(name, config, 2048).tokens, 2048) << name;
  }
  EXPECT_EQ(expected_length("longbench/passage_retrieval_en", config, 0).tokens, 13005);
  EXPECT_THROW(expected_length("choubun/wiki_qa", config, 0), ConfigError);
}

TEST(Plan, EqualItemsTakeTheClosedForm) {
  const auto config = shipped("quickstart.yaml");
  const auto works = works_of(config);
  ItemTimes times = equal_times(works, 10);
  times.coordinator = {.update_seconds = 2, .checkpoint_seconds = 3};
  const auto rounds = [](int64_t items, int64_t workers) { return 10.0 * ((items + workers - 1) / workers); };
  PlanOptions options;
  options.workers = {1, 5, 1000};
  const Plan plan = make_plan(config, works, times, options);
  ASSERT_EQ(plan.rows.size(), 3U);
  for (const auto& row : plan.rows) {
    const int64_t w = row.workers;
    const StageWork& evolve = works[0];
    const auto of = [&](const StageWork::Items& items) { return rounds(std::ssize(items), w); };
    const double generations =
        16 * (rounds(std::ssize(evolve.population) + std::ssize(evolve.reference), w) + 2 + 3);
    const double first = of(evolve.calibration) + 3 + generations + of(evolve.validation_reference) +
                         4 * of(evolve.validation) + of(evolve.shifts);
    EXPECT_NEAR(row.stage_seconds[0], first, 1e-6);
    EXPECT_NEAR(row.stage_seconds[1], of(works[1].test), 1e-6);
    EXPECT_NEAR(row.totals.seconds, row.stage_seconds[0] + row.stage_seconds[1], 1e-6);
    EXPECT_EQ(row.totals.items, works[0].items() + works[1].items());
    EXPECT_LE(row.utilisation, 1);
    EXPECT_NEAR(row.utilisation, 10.0 * row.totals.items / row.totals.seconds / w, 1e-9);
  }
  EXPECT_EQ(plan.checkpoints, 17);
}

TEST(Plan, CountsMembersThatAreEvaluatedAgain) {
  const auto config =
      shipped("smoke.yaml", {"evolution.reevaluations=2", "evolution.members_per_item=2",
                             "stages.0.evolve.generations=4", "stages.0.evolve.validation.every=0"});
  const auto works = works_of(config);
  ASSERT_GT(works[0].population_of(1).size(), works[0].population_of(0).size());
  PlanOptions options;
  options.workers = {1};
  const Plan plan = make_plan(config, works, equal_times(works, 1), options);
  EXPECT_EQ(plan.rows[0].totals.items, works[0].items());
  EXPECT_THAT(to_text(config, plan), HasSubstr("with 2 members evaluated again"));
  EXPECT_EQ(to_json(config, plan)["stages"][0]["later_population_items"], works[0].population_of(1).size());
}

TEST(CoordinatorTimes, TellWhateverPopulationTheOptimiserAsksFor) {
  const auto config = shipped("smoke.yaml", {"evolution.reevaluations=2"});
  const TemporaryDirectory folder;
  const auto times = measure_coordinator(config, work_of(config), folder.path());
  EXPECT_GT(times.update_seconds, 0);
  EXPECT_GT(times.checkpoint_bytes, 1000);
}

TEST(CoordinatorTimes, AreOfTheGivenDiskAndLeaveNothing) {
  const auto config = shipped("smoke.yaml");
  const TemporaryDirectory folder;
  std::ofstream(folder / "another's") << "stays";
  measure_coordinator(config, work_of(config), folder.path());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
  EXPECT_THROW(measure_coordinator(config, work_of(config), folder / "nowhere"), InfrastructureError);
}

TEST(Plan, IsDeterministicAndFailuresCost) {
  const auto config = shipped("smoke.yaml", {"stages.0.evolve.generations=30"});
  const auto works = works_of(config);
  ItemTimes times = equal_times(works, 0);
  for (auto& [kind, of_kind] : times.kinds) of_kind.seconds = {50, 100, 150, 200};
  PlanOptions options;
  options.workers = {2, 4};
  const auto seconds = [&](const PlanOptions& with) {
    const Plan plan = make_plan(config, works, times, with);
    return std::vector{plan.rows[0].totals.seconds, plan.rows[1].totals.seconds};
  };
  const auto without = seconds(options);
  EXPECT_EQ(without, seconds(options));
  EXPECT_LT(without[1], without[0]);
  options.failure_seconds = 2000;
  const auto with = seconds(options);
  EXPECT_GT(with[0], without[0]);
  EXPECT_GT(with[1], without[1]);
  options.seed = 2;
  EXPECT_NE(with, seconds(options));
}

TEST(Plan, SaysWhatItAssumes) {
  const auto config = shipped("smoke.yaml");
  const auto works = works_of(config);
  PlanOptions options;
  options.workers = {3};
  options.failure_seconds = 7200;
  const Plan plan = make_plan(config, works, equal_times(works, 1), options);
  const std::string text = to_text(config, plan);
  EXPECT_THAT(text, HasSubstr("4172 parameters"));
  EXPECT_THAT(text, HasSubstr("fails every 2 h"));
  EXPECT_THAT(text, HasSubstr("lease of 10 s"));
  EXPECT_THAT(text, HasSubstr("after one of less than 250 ms, holds 1 more"));
  const auto json = to_json(config, plan);
  EXPECT_EQ(json["memory"]["parameters"], 4172);
  EXPECT_EQ(json["stages"][0]["items"], works[0].items());
  EXPECT_EQ(json["rows"][0]["items"], works[0].items());
  EXPECT_GT(json["rows"][0]["queue_bytes"].get<int64_t>(), 4 * 4172);
}

TEST(ThroughputModel, IsTheStatedArithmetic) {
  // Llama-3-8B by its sizes: 8.03 billion.
  const auto config = shipped("paper-stage-1.yaml");
  EXPECT_NEAR(parameters_of(config.model), 8.03e9, 0.01e9);
  EXPECT_EQ(parameters_of(ModelConfig()), 0);
  const auto tasks = open_or_expect_tasks(config, 0, config.model.max_positions);
  const std::vector works{stage_work(config, 0, tasks.pointers())};
  ThroughputModel model;
  model.spread = 0;
  model.prompt_tokens = 8192;
  const ItemTimes times = predict_item_times(config, works, {tasks.pointers()}, model);
  const auto reference = times.kinds.at(kind_of(works[0], works[0].reference.front())).seconds.at(0);
  // Weights and attention of the prompt; 32 tokens that read 16 GB of weights and 1 GiB of cache each.
  const double flops = 2 * 8.03e9 * 8192 + 2.0 * 128 * 32 * 32 * 8192 * 8192;
  EXPECT_NEAR(reference, flops / (989e12 * 0.4) + 32 * (16.06e9 + 1.07e9) / 3.35e12, 0.01 * reference);
  const auto member = times.kinds.at(kind_of(works[0], works[0].population.front())).seconds.at(0);
  // Half of attention again, and BAM over 512, 1,024, ... 8,192 tokens of 8 heads in 32 layers.
  const double attention = 2.0 * 128 * 32 * 32 * 8192 * 8192;
  const double bam = 64.0 * 8 * 32 * 512 * 512 * (16 * 17 * 33 / 6);
  EXPECT_NEAR(member - reference, (attention / 2 + bam) / (989e12 * 0.4), 1e-6);
  EXPECT_THAT(times.assumptions.front(), HasSubstr("Nothing was measured"));
}

TEST(ThroughputModel, GivenRatesAreUsedAndSpreadKeepsTheMean) {
  const auto config = shipped("paper-stage-1.yaml", {"evolution.members_per_item=8"});
  const auto tasks = open_or_expect_tasks(config, 0, config.model.max_positions);
  const std::vector works{stage_work(config, 0, tasks.pointers())};
  ThroughputModel model;
  model.seconds_per_1k_tokens = 2;
  model.decode_steps_per_second = 16;
  model.prompt_tokens = 2512;
  const ItemTimes times = predict_item_times(config, works, {tasks.pointers()}, model);
  const auto& seconds = times.kinds.at(kind_of(works[0], works[0].population.front())).seconds;
  const double mean =
      std::accumulate(seconds.begin(), seconds.end(), 0.0) / static_cast<double>(seconds.size());
  // 512 tokens once, 2,000 for each of 8 members; 32 tokens of answer.
  EXPECT_NEAR(mean, 2 * (0.512 + 8 * 2) + 32.0 / 16, 1e-9);
  EXPECT_LT(seconds.front(), 0.7 * mean);
  EXPECT_GT(seconds.back(), 1.4 * mean);
}

TEST(ThroughputModel, AsksForSizesThatItDoesNotKnow) {
  const auto config = shipped("paper-stage-1.yaml", {"model.hidden=0"});
  const auto tasks = open_or_expect_tasks(config, 0, config.model.max_positions);
  const std::vector works{stage_work(config, 0, tasks.pointers())};
  EXPECT_THROW(predict_item_times(config, works, {tasks.pointers()}, {}), ConfigError);
  ThroughputModel with_parameters;
  with_parameters.parameters = 8e9;
  EXPECT_NO_THROW(predict_item_times(config, works, {tasks.pointers()}, with_parameters));
}

TEST(ItemTimes, ComeBackFromTheirFile) {
  const TemporaryDirectory folder;
  const auto works = works_of(shipped("quickstart.yaml"));
  ItemTimes times = equal_times(works, 0.1);
  times.coordinator = {1, 2, 3, 0.004};
  times.assumptions = {"one", "two"};
  save_item_times(folder / "times.json", times);
  const ItemTimes again = load_item_times(folder / "times.json");
  EXPECT_EQ(again.device, times.device);
  EXPECT_EQ(again.assumptions, times.assumptions);
  EXPECT_EQ(again.coordinator.result_seconds, 0.004);
  ASSERT_EQ(again.kinds.size(), times.kinds.size());
  for (const auto& [kind, of_kind] : times.kinds) {
    EXPECT_EQ(again.kinds.at(kind).seconds, of_kind.seconds);
    EXPECT_EQ(again.kinds.at(kind).result_bytes, of_kind.result_bytes);
  }
}

TEST(ItemTimes, RefusesOtherFiles) {
  const TemporaryDirectory folder;
  const auto path = folder / "times.json";
  EXPECT_THROW(load_item_times(path), DataError);
  for (const std::string text :
       {"", "{}", "[1]", R"({"format": "namm-item-times", "version": 2})",
        R"({"format": "namm-item-times", "version": 1, "device": "cpu", "assumptions": [], "coordinator":
           {"update_seconds": -1, "checkpoint_seconds": 0, "checkpoint_bytes": 0, "result_seconds": 0}, "items": []})",
        R"({"format": "namm-item-times", "version": 1, "device": "cpu", "assumptions": [], "coordinator":
           {"update_seconds": 1, "checkpoint_seconds": 0, "checkpoint_bytes": 0, "result_seconds": 0}, "items":
           [{"stage": "a", "purpose": "test", "variant": 0, "task": "t", "members": 1, "samples": 1,
             "seconds": [], "result_bytes": 1}]})"}) {
    std::ofstream(path) << text;
    EXPECT_THROW(load_item_times(path), DataError) << text;
  }
}

TEST(ItemTimes, OtherSizesAreScaledAndSaid) {
  ItemTimes times;
  times.kinds[{"a", "population", 0, "needle/hop", 4, 2}] = {{1, 2}, 80};
  times.kinds[{"a", "population", 0, "needle/stale", 4, 2}] = {{5}, 80};
  std::vector<std::string> scaled;
  EXPECT_THAT(times.find({"a", "population", 0, "needle/hop", 4, 2}, scaled).seconds, ElementsAre(1, 2));
  EXPECT_TRUE(scaled.empty());
  EXPECT_THAT(times.find({"a", "population", 0, "needle/stale", 2, 2}, scaled).seconds, ElementsAre(2.5));
  EXPECT_THAT(scaled, ElementsAre(HasSubstr("times 0.5")));
  EXPECT_THROW(times.find({"a", "test", 0, "needle/hop", 1, 1}, scaled), ConfigError);
}

}  // namespace
}  // namespace namm::experiments
