#include "experiments/experiment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/files.h"
#include "tests/support/temporary_directory.h"

namespace namm::experiments {
namespace {

using ::testing::HasSubstr;

const char* const kMinimal =
    "name: test\n"
    "model: {archive: model.pt}\n"
    "stages:\n"
    "  - evolve: {tasks: [needle/hop]}\n"
    "  - evaluate: {tasks: [needle/hop], policies: [full, namm, h2o]}\n";

ExperimentConfig read(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return read_config<ExperimentConfig>(ConfigDocument::from_text(text, "test.yaml", overrides));
}

std::string error_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    read(text, overrides);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

std::filesystem::path configs() {
  return std::filesystem::path(NAMM_SOURCE_DIR) / "configs";
}

ExperimentConfig load(const std::string& name, const std::vector<std::string>& overrides = {}) {
  return read_config<ExperimentConfig>(ConfigDocument::load(configs() / "run" / (name + ".yaml"), overrides));
}

TEST(Experiment, DefaultsAndNames) {
  const ExperimentConfig config = read(kMinimal);
  EXPECT_EQ(config.stage_name(0), "stage_0");
  EXPECT_EQ(config.contexts_of(*config.stages[1].evaluate), 32);
  EXPECT_EQ(config.stages[0].evolve->start.kind, "auto");
  EXPECT_EQ(read_config<ExperimentConfig>(ConfigDocument::from_text(to_yaml(config), "again")), config);
}

TEST(Experiment, ImpossibleCombinationsNameTheirPlace) {
  EXPECT_EQ(error_of(kMinimal, {"stages.0.evolve.generations=0"}),
            "command line: stages.0.evolve.generations = 0: must be an integer, between 1 and 1048576");
  EXPECT_THAT(error_of(std::string(kMinimal) + "task: {context_tokens: 100}\n"),
              HasSubstr("test.yaml:6:24: task.context_tokens = 100: at least memory.period_tokens = 512: no "
                        "token would ever be forgotten"));
  EXPECT_THAT(error_of(std::string(kMinimal) + "memory: {period_tokens: 100}\n"),
              HasSubstr("hop_length = 16"));
  EXPECT_THAT(
      error_of("name: x\nmodel: {archive: m}\nstages:\n  - evaluate: {tasks: [needle/hop], policies: [full, "
               "h2o]}\n"),
      HasSubstr("test.yaml:4:47: stages.0.evaluate.policies = [full, h2o]: h2o needs to know how much the "
                "memory kept: add namm"));
  EXPECT_THAT(error_of("name: x\nmodel: {archive: m}\nstages:\n  - evaluate: {tasks: [needle/hop], policies: "
                       "[full, full]}\n"),
              HasSubstr("every entry once"));
  EXPECT_THAT(error_of("name: x\nmodel: {archive: m}\nstages:\n  - {}\n"),
              HasSubstr("one of evolve and evaluate"));
  EXPECT_THAT(error_of(kMinimal, {"stages.0.evolve.start=previous"}),
              HasSubstr("an evolve stage before this one"));
  EXPECT_THAT(error_of(kMinimal, {"name=../escape"}), HasSubstr("letters, digits"));
  EXPECT_THAT(error_of(kMinimal, {"evolution.population=1"}), HasSubstr("at least 2"));
  EXPECT_THAT(error_of(kMinimal, {"evolution.population=4000000000000000000"}), HasSubstr("1048576"));
  EXPECT_THAT(error_of(kMinimal, {"evolution.members_per_item=9223372036854775807"}), HasSubstr("1048576"));
  EXPECT_THAT(
      error_of("name: x\nmodel: {archive: m}\nstages:\n  - evaluate: {name: stages, tasks: [needle/hop], "
               "policies: [full]}\n"),
      HasSubstr("test.yaml:4:22: stages.0.evaluate.name = stages: another name"));
  EXPECT_THAT(error_of(kMinimal, {"stages.0.evolve.validation.every=0",
                                  "stages.0.evolve.validation.bias_shifts=[0.1]"}),
              HasSubstr("bias_shifts"));
}

TEST(Experiment, BudgetWithoutNammIsFineWhereItNamesASize) {
  EXPECT_EQ(
      error_of(
          "name: x\nmodel: {archive: m}\nstages:\n  - evaluate: {tasks: [needle/hop], policies: [full, h2o], "
          "budget: {tokens: 64}}\n"),
      "no error");
}

TEST(Experiment, AMemoryGoesWithItsPolicyAndItsModel) {
  const std::string mixed =
      std::string(kMinimal) + "memory: {scorer: mix, transformer: {layers: 4, kv_heads: 2}}\n";
  EXPECT_THAT(error_of(mixed),
              HasSubstr("test.yaml:5:47: stages.1.evaluate.policies = [full, namm, h2o]: namm-mix "
                        "for memory.scorer = mix, which namm cannot apply"));
  const std::string policies = "stages.1.evaluate.policies=[full, namm-mix, h2o]";
  EXPECT_EQ(error_of(mixed, {policies}), "no error") << "its counts are the others' budget";
  EXPECT_THAT(error_of(kMinimal, {policies}), HasSubstr("which namm-mix cannot apply"));
  EXPECT_THAT(error_of(mixed, {policies, "model.layers=5"}),
              HasSubstr("test.yaml:6:45: memory.transformer.layers = 4: model.layers = 5"));
  EXPECT_EQ(error_of(mixed, {policies, "model.layers=4", "model.kv_heads=2"}), "no error");
  EXPECT_EQ(error_of(mixed, {policies, "stages.0.evolve.validation.bias_shifts=[0, 1]"}), "no error");
  EXPECT_THAT(error_of(mixed, {policies, "memory.mix.keep_fraction=0.5",
                               "stages.0.evolve.validation.bias_shifts=[0, 1]"}),
              HasSubstr("the score's bias decides nothing"));
}

TEST(Experiment, IdentityIgnoresPlacesAndTexts) {
  const std::string reference = identity_of(read(kMinimal), "model", "memory");
  EXPECT_EQ(identity_of(read(kMinimal, {"model.archive=elsewhere.pt", "notes=[a]"}), "model", "memory"),
            reference);
  EXPECT_NE(identity_of(read(kMinimal, {"seed=2"}), "model", "memory"), reference);
  EXPECT_NE(identity_of(read(kMinimal, {"threads_per_item=2"}), "model", "memory"), reference);
  EXPECT_NE(identity_of(read(kMinimal), "other", "memory"), reference);
  EXPECT_NE(identity_of(read(kMinimal, {"memory.features=dc_only"}), "model", "memory"), reference);
}

TEST(Experiment, IdentityCountsDataFilesByContent) {
  const namm::testing::TemporaryDirectory folder;
  const auto identity = [&](const std::string& place, const std::string& task) {
    return identity_of(read(kMinimal, {"haystack=" + (folder / place / "text.txt").string(),
                                       "data.longbench=" + (folder / place).string(),
                                       "stages.1.evaluate.tasks=[" + task + "]"}),
                       "", "");
  };
  const auto write = [&](const std::string& place, const std::string& name, const std::string& text) {
    make_directories((folder / place / name).parent_path());
    write_atomically(folder / place / name, text);
  };
  for (const std::string place : {"a", "b"}) {
    write(place, "text.txt", "one");
    write(place, "data/trec.jsonl", "{}");
  }
  const std::string facts = identity("a", "needle/facts");
  const std::string trec = identity("a", "longbench/trec");
  EXPECT_EQ(identity("b", "needle/facts"), facts);
  EXPECT_EQ(identity("b", "longbench/trec"), trec);
  write("b", "text.txt", "two");
  EXPECT_NE(identity("b", "needle/facts"), facts);
  EXPECT_EQ(identity("b", "longbench/trec"), trec) << "reads no haystack";
  write("b", "data/trec.jsonl", "{} ");
  EXPECT_NE(identity("b", "longbench/trec"), trec);
}

TEST(Configs, AllExperimentsAreValid) {
  int64_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(configs() / "run")) {
    EXPECT_NO_THROW(read_config<ExperimentConfig>(ConfigDocument::load(entry.path()))) << entry.path();
    ++count;
  }
  EXPECT_GE(count, 7);
}

TEST(Configs, ThePaperInItsOwnWords) {
  for (const char* stage : {"paper-stage-1", "paper-stage-2", "paper-stage-3"}) {
    const ExperimentConfig config = load(stage);
    EXPECT_EQ(config.memory.parameters(), 4172) << stage;
    EXPECT_EQ(config.memory.features(), 25);
    EXPECT_EQ(config.memory.period_tokens, 512);
    EXPECT_EQ(config.memory.heads, "parity");
    EXPECT_EQ(config.evolution.optimizer.population, 32);
    EXPECT_EQ(config.evolution.optimizer.sigma, 0.065);
    EXPECT_TRUE(config.evolution.optimizer.parity);
    EXPECT_EQ(config.stages[0].evolve->contexts_per_task, 64);
    EXPECT_EQ(config.model.layers, 32);
    EXPECT_EQ(config.model.rope_numbers.at("theta"), 500000);
    EXPECT_EQ(config.seed, 1337);
  }
  EXPECT_EQ(load("paper-stage-3").stages[0].evolve->tasks.size(), 3);
  EXPECT_EQ(load("paper-stage-2").stages[0].evolve->start.kind, "file");
}

TEST(Configs, SmokeIsWhatFaultTestsExpect) {
  const ExperimentConfig config = load("smoke");
  ASSERT_EQ(config.stages.size(), 1);
  EXPECT_EQ(config.stages[0].evolve->generations, 3);
}

}  // namespace
}  // namespace namm::experiments
