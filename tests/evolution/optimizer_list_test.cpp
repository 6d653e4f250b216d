#include "evolution/optimizer_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "evolution/evolution_config.h"

namespace namm::evolution {
namespace {

using ::testing::HasSubstr;

std::string error_of(const OptimizerConfig& config, int64_t n = 10) {
  try {
    make_optimizer(config, std::vector<double>(n), 1);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

EvolutionConfig read(const std::string& yaml) {
  return read_config<EvolutionConfig>(ConfigDocument::from_text(yaml, "run.yaml"));
}

std::string read_error(const std::string& yaml) {
  try {
    read(yaml);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(OptimizerList, UnknownKindIsAnsweredWithTheList) {
  OptimizerConfig config;
  config.kind = "cmaes";
  EXPECT_THAT(error_of(config), HasSubstr("cmaes"));
  for (const std::string& name : optimizer_names()) {
    EXPECT_THAT(error_of(config), HasSubstr(name));
  }
}

TEST(OptimizerList, AutoChoosesBySize) {
  OptimizerConfig config;
  EXPECT_EQ(make_optimizer(config, std::vector<double>(1000), 1)->kind(), "cma-es");
  EXPECT_EQ(make_optimizer(config, std::vector<double>(1001), 1)->kind(), "cr-fm-nes");
  config.parity = true;
  EXPECT_EQ(resolve_optimizer(config, 4172).kind, "cma-es");
}

TEST(OptimizerList, DefaultPopulation) {
  OptimizerConfig config;
  config.kind = "cma-es";
  EXPECT_EQ(make_optimizer(config, std::vector<double>(10), 1)->population(), 10);
  EXPECT_EQ(make_optimizer(config, std::vector<double>(40), 1)->population(), 15);
  config.kind = "cr-fm-nes";
  EXPECT_EQ(make_optimizer(config, std::vector<double>(40), 1)->population(), 16);
  EXPECT_EQ(make_optimizer(config, std::vector<double>(4172), 1)->population(), 30);
}

TEST(OptimizerList, RefusesCombinationsThatMakeNoSense) {
  OptimizerConfig config;
  config.kind = "cr-fm-nes";
  config.population = 15;
  EXPECT_THAT(error_of(config), HasSubstr("evolution.population = 15: an even number"));
  config.population = 16;
  config.parity = true;
  EXPECT_THAT(error_of(config), HasSubstr("evolution.parity = true"));
  config.parity = false;
  config.elite_ratio = 0.25;
  EXPECT_THAT(error_of(config), HasSubstr("evolution.elite_ratio"));
  config = {};
  config.sigma = 0;
  EXPECT_THAT(error_of(config), HasSubstr("evolution.sigma"));
  config = {};
  config.population = 1;
  EXPECT_THAT(error_of(config), HasSubstr("evolution.population"));
  config = {};
  config.kind = "random-search";
  config.termination = true;
  EXPECT_THAT(error_of(config), HasSubstr("evolution.termination = true: not with random-search"));
  config.termination = false;
  config.average_mean = 3;
  EXPECT_THAT(error_of(config), HasSubstr("evolution.average_mean"));
  config = {};
  config.parity = true;
  config.restarts = "ipop";
  EXPECT_THAT(error_of(config), HasSubstr("evolution.restarts = ipop: not with parity"));
  config = {};
  config.reevaluations = 1;
  EXPECT_THAT(error_of(config), HasSubstr("evolution.reevaluations = 1"));
  config.reevaluations = 11;  // the default population at n = 10 is 10
  EXPECT_THAT(error_of(config), HasSubstr("evolution.reevaluations = 11"));
  config = {};
  EXPECT_THAT(error_of(config, 0), HasSubstr("no parameter"));
  config.kind = "cma-es";
  EXPECT_THAT(error_of(config, 32001), HasSubstr("at most 32000 parameters, here are 32001"));
  config = {};
  EXPECT_THROW(make_optimizer(config, std::vector<double>{0, NAN}, 1), ConfigError);
}

TEST(EvolutionConfig, ReadsOptimiserAndScheduleSideBySide) {
  const EvolutionConfig config = read("kind: cma-es\npopulation: 32\nsigma: 0.1\nmembers_per_item: 2\n");
  EXPECT_EQ(config.optimizer.kind, "cma-es");
  EXPECT_EQ(config.optimizer.population, 32);
  EXPECT_EQ(config.optimizer.sigma, 0.1);
  EXPECT_EQ(config.schedule.members_per_item, 2);
  EXPECT_EQ(config.schedule.samples_per_item, 8);
}

TEST(EvolutionConfig, NamesPlaceKeyAndWhatIsAllowed) {
  EXPECT_THAT(read_error("kind: pso\n"), HasSubstr("run.yaml:1:7"));
  EXPECT_THAT(read_error("kind: pso\n"), HasSubstr("cr-fm-nes"));
  EXPECT_THAT(read_error("popualtion: 3\n"), HasSubstr("population"));
  EXPECT_THAT(read_error("sigma: -1\n"), HasSubstr("sigma"));
  EXPECT_THAT(read_error("elite_ratio: 0.7\n"), HasSubstr("elite_ratio"));
  EXPECT_THAT(read_error("kind: cr-fm-nes\npopulation: 7\n"), HasSubstr("run.yaml:2:"));
  EXPECT_THAT(read_error("kind: cr-fm-nes\nparity: true\n"), HasSubstr("parity"));
  EXPECT_THAT(read_error("restarts: always\n"), HasSubstr("none, ipop, bipop"));
  EXPECT_THAT(read_error("kind: cma-es\npopulation: 8\nreevaluations: 9\n"), HasSubstr("run.yaml:3:"));
  EXPECT_THAT(read_error("members_per_item: 0\n"), HasSubstr("members_per_item"));
}

}  // namespace
}  // namespace namm::evolution
