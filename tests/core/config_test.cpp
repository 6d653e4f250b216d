#include "core/config.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"

namespace namm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Schedule {
  int64_t period = 512;
  double rate = 0.5;
  bool operator==(const Schedule&) const = default;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("period", self.period, at_least(1), "tokens between two updates");
    visit("rate", self.rate, between(0, 1), "share of something");
  }

  void check(const ConfigNode& node) const {
    if (period > 1000 && rate > 0.9) {
      node.fail_entry("rate", "0.5", "must be at most 0.9 where schedule.period is above 1000");
    }
  }
};

// A word or a mapping: `match_namm` or `{tokens: 512}`.
struct Budget {
  int64_t tokens = 0;  // 0: match_namm
  bool operator==(const Budget&) const = default;

  static Budget from_config(const ConfigNode& node) {
    if (node.is_scalar() && node.value().text == "match_namm") {
      return {};
    }
    if (!node.is_mapping()) {
      node.fail("must be match_namm or {tokens: N}");
    }
    node.refuse_unknown_keys({"tokens"});
    return {read_config<int64_t>(node.at("tokens"), at_least(1))};
  }

  ConfigValue to_config() const {
    if (tokens == 0) {
      return ConfigValue::string("match_namm");
    }
    return ConfigValue::mapping().set("tokens", ConfigValue::integer(tokens));
  }
};

struct Example {
  std::string name;
  std::string kind = "cma-es";
  int64_t population = 16;
  int32_t small = 1;
  uint64_t seed = 0;
  double sigma = 0.065;
  float single = 0.1F;
  bool shared = true;
  std::vector<double> bounds;
  std::vector<std::string> tasks = {"hop"};
  std::optional<int64_t> limit;
  std::map<std::string, int64_t> counts;
  ConfigPath data;
  Schedule schedule{.period = 256, .rate = 0.25};
  std::vector<Schedule> schedules;
  std::optional<Schedule> extra;
  Budget budget;
  bool operator==(const Example&) const = default;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("name", self.name, needed() && non_empty(), "name of the run");
    visit("kind", self.kind, one_of({"cma-es", "cr-fm-nes"}), "optimiser");
    visit("population", self.population, at_least(2), "members of one generation");
    visit("small", self.small, "a 32-bit number");
    visit("seed", self.seed, "seed of all random numbers");
    visit("sigma", self.sigma, above(0), "first step size");
    visit("single", self.single, "single precision");
    visit("shared", self.shared, "a switch");
    visit("bounds", self.bounds, "lower and upper bound");
    visit("tasks", self.tasks, non_empty(), "what is evaluated");
    visit("limit", self.limit, at_least(1), "none: no limit");
    visit("counts", self.counts, between(0, 9), "by name");
    visit("data", self.data, "a file");
    visit("schedule", self.schedule, "when");
    visit("schedules", self.schedules, "more of them");
    visit("extra", self.extra, "one more");
    visit("budget", self.budget, "tokens kept");
  }
};

Example read(const std::string& text) {
  return read_config<Example>(ConfigDocument::from_text(text, "x.yaml"));
}

std::string error_of(const std::string& text) {
  try {
    read(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(Config, ReadsEveryType) {
  const Example read_back = read(R"(
name: "a run"
kind: cr-fm-nes
population: 32
small: -7
seed: 18446744073709551615
sigma: 1e-1
single: 0.25
shared: false
bounds: [-.inf, .inf, 3, 0x10, -1.5E+3, .5]
tasks: [passage, 17, yes]
limit: 0o17
counts: {hop: 3, "key value": 0}
data: /tmp/x
schedule: {period: 64}
schedules:
  - period: 1
  - {rate: 1}
extra: {}
budget: {tokens: 512}
)");
  Example expected;
  expected.name = "a run";
  expected.kind = "cr-fm-nes";
  expected.population = 32;
  expected.small = -7;
  expected.seed = std::numeric_limits<uint64_t>::max();
  expected.sigma = 0.1;
  expected.single = 0.25F;
  expected.shared = false;
  const double infinity = std::numeric_limits<double>::infinity();
  expected.bounds = {-infinity, infinity, 3, 16, -1500, 0.5};
  expected.tasks = {"passage", "17", "yes"};
  expected.limit = 15;
  expected.counts = {{"hop", 3}, {"key value", 0}};
  expected.data.value = "/tmp/x";
  expected.schedule = {64, 0.25};  // the rate is the outer struct's default
  expected.schedules = {{1, 0.5}, {512, 1}};
  expected.extra = Schedule{};
  expected.budget.tokens = 512;
  EXPECT_EQ(read_back, expected);
}

TEST(Config, DefaultsStayWhereNothingIsGiven) {
  Example expected;
  expected.name = "x";
  EXPECT_EQ(read("name: x"), expected);
  EXPECT_EQ(read("name: x\nschedule:\nlimit: null\nextra: ~\ncounts:\nbudget: match_namm"), expected);
}

TEST(Config, WritesWhatReadsBackAsTheSame) {
  Example value;
  value.name = "quotes \" and \\, colon: hash # line\nend\t\x01 \xC3\xA9";
  value.kind = "cr-fm-nes";
  value.sigma = 1.0 / 3;
  value.single = 1.0F / 3;
  const double infinity = std::numeric_limits<double>::infinity();
  value.bounds = {-infinity, infinity, 1, 1e300, 5e-324, -0.1};
  value.tasks = {"010", "true", "null", "~",    "",    " spaces ", "- dash", "1e3",
                 "yes", ".inf", "0x10", "a: b", "[x]", "@",        "..."};
  value.limit = 7;
  value.counts = {{"a b", 1}, {"", 2}, {"x: y", 3}, {"true", 4}};
  value.data.value = "/some/where else/file.yaml";
  value.schedules = {{1, 0.5}, {2, 1}};
  value.extra = Schedule{5, 0};
  value.budget.tokens = 12;
  const std::string yaml = to_yaml(value);
  EXPECT_EQ(read(yaml), value) << yaml;
  EXPECT_EQ(to_yaml(read(yaml)), yaml);
  Example plain;
  plain.name = "x";
  EXPECT_EQ(read(to_yaml(plain)), plain);
}

TEST(Config, NumbersAreWrittenInCoreSchemaSpelling) {
  Example value;
  value.name = "x";
  value.bounds = {-std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity(), 1};
  const std::string yaml = to_yaml(value);
  EXPECT_THAT(yaml, HasSubstr("bounds: [-.inf, .inf, 1.0]\n"));
  EXPECT_THAT(yaml, HasSubstr("sigma: 0.065\n"));
  EXPECT_THAT(yaml, HasSubstr("seed: 0\n"));
  EXPECT_THAT(yaml, HasSubstr("budget: match_namm\n"));
  EXPECT_THAT(yaml, HasSubstr("limit: null\n"));
  EXPECT_THAT(yaml, HasSubstr("counts: {}\n"));
}

// Case spine-08: number syntax at the edge. A leading zero means nothing, as in YAML 1.2.
TEST(Config, NumberSyntaxIsThatOfYaml12) {
  EXPECT_EQ(read("name: x\nseed: 010").seed, 10U);
  EXPECT_EQ(read("name: x\nsigma: 1e-1").sigma, 0.1);
  EXPECT_EQ(read("name: x\nsigma: 1e3").sigma, 1000);
  EXPECT_EQ(read("name: x\nsigma: +.5").sigma, 0.5);
  EXPECT_EQ(read("name: x\nsigma: 5.").sigma, 5);
  const Example bounds = read("name: x\nbounds: [-.inf, .inf]");
  EXPECT_EQ(read(to_yaml(bounds)), bounds);
  EXPECT_EQ(error_of("name: x\nsigma: .nan"),
            "x.yaml:2:8: sigma = .nan: must be a number, .nan is not allowed, above 0");
  EXPECT_EQ(error_of("name: x\nsigma: .inf"), "x.yaml:2:8: sigma = .inf: must be a finite number, above 0");
  EXPECT_EQ(error_of("name: x\nsigma: inf"), "x.yaml:2:8: sigma = inf: must be a number, above 0");
  EXPECT_EQ(error_of("name: x\nsigma: 1e999"), "x.yaml:2:8: sigma = 1e999: must be a number, above 0");
  EXPECT_EQ(error_of("name: x\nsigma: 1_000"), "x.yaml:2:8: sigma = 1_000: must be a number, above 0");
  EXPECT_EQ(error_of("name: x\nsingle: 1e39"),
            "x.yaml:2:9: single = 1e39: must be a number that single precision can hold");
}

TEST(Config, ErrorsSayWhereWhatAndWhatIsAllowed) {
  EXPECT_EQ(
      error_of("name: x\npopulaton: 8"),
      "x.yaml:2:1: populaton = 8: unknown key, did you mean 'population'? allowed are name, kind, "
      "population, small, "
      "seed, sigma, single, shared, bounds, tasks, limit, counts, data, schedule, schedules, extra, budget");
  EXPECT_EQ(error_of("name: x\nschedule:\n  period: 3\n  zzz: [1, {a: b}]"),
            "x.yaml:4:3: schedule.zzz = [1, {a: b}]: unknown key; allowed are period, rate");
  EXPECT_EQ(error_of("name: x\npopulation: 1"),
            "x.yaml:2:13: population = 1: must be an integer, at least 2");
  EXPECT_EQ(error_of("name: x\npopulation: 1.5"),
            "x.yaml:2:13: population = 1.5: must be an integer, at least 2");
  EXPECT_EQ(error_of("name: x\npopulation: many"),
            "x.yaml:2:13: population = many: must be an integer, at least 2");
  EXPECT_EQ(error_of("name: x\npopulation: \"16\""),
            "x.yaml:2:13: population = \"16\": must be an integer, at least 2");
  EXPECT_EQ(error_of("name: x\npopulation: [16]"),
            "x.yaml:2:13: population = [16]: must be an integer, at least 2");
  EXPECT_EQ(error_of("name: x\npopulation:"),
            "x.yaml:2:1: population = null: must be an integer, at least 2");
  EXPECT_EQ(
      error_of("name: x\npopulation: 99999999999999999999"),
      "x.yaml:2:13: population = 99999999999999999999: must be an integer between -9223372036854775808 and "
      "9223372036854775807, at least 2");
  EXPECT_EQ(error_of("name: x\nsmall: 3000000000"),
            "x.yaml:2:8: small = 3000000000: must be an integer between -2147483648 and 2147483647");
  EXPECT_EQ(error_of("name: x\nseed: -1"),
            "x.yaml:2:7: seed = -1: must be an integer between 0 and 18446744073709551615");
  EXPECT_EQ(error_of("name: x\nshared: yes"), "x.yaml:2:9: shared = yes: must be true or false");
  EXPECT_EQ(error_of("name: x\nkind: cmaes"),
            "x.yaml:2:7: kind = cmaes: must be one of cma-es, cr-fm-nes; did you mean 'cma-es'?");
  EXPECT_EQ(error_of("name: [a]"), "x.yaml:1:7: name = [a]: must be a text, not empty");
  EXPECT_EQ(error_of("name: \"\""), "x.yaml:1:7: name = \"\": must be a text, not empty");
  EXPECT_EQ(error_of("name: x\ntasks: hop"), "x.yaml:2:8: tasks = hop: must be a list, e.g. [a, b]");
  EXPECT_EQ(error_of("name: x\ntasks: []"), "x.yaml:2:8: tasks = []: must be a list of at least one item");
  EXPECT_EQ(error_of("name: x\nbounds: [1, two]"), "x.yaml:2:13: bounds.1 = two: must be a number");
  EXPECT_EQ(error_of("name: x\ncounts: 3"), "x.yaml:2:9: counts = 3: must be a mapping (key: value)");
  EXPECT_EQ(error_of("name: x\ncounts: {a: 10}"),
            "x.yaml:2:13: counts.a = 10: must be an integer, between 0 and 9");
  EXPECT_EQ(error_of("name: x\nschedule: 3"),
            "x.yaml:2:11: schedule = 3: must be a mapping with the keys period, rate");
  EXPECT_EQ(error_of("name: x\nschedules:\n  - period: 1\n  - rate: 2"),
            "x.yaml:4:11: schedules.1.rate = 2: must be a number, between 0 and 1");
  EXPECT_EQ(error_of("name: x\ndata: {a: b}"),
            "x.yaml:2:7: data = {a: b}: must be the name of a file or folder");
  EXPECT_EQ(error_of("kind: cma-es"), "x.yaml:1:1: name: must be given (name of the run)");
  EXPECT_EQ(error_of("name: x\nbudget: 3"), "x.yaml:2:9: budget = 3: must be match_namm or {tokens: N}");
  EXPECT_EQ(error_of("name: x\nbudget: {tokens: 0}"),
            "x.yaml:2:18: budget.tokens = 0: must be an integer, at least 1");
  EXPECT_EQ(error_of("name: x\nbudget: {}"), "x.yaml:2:9: budget = {}: the key 'tokens' must be given");
}

TEST(Config, RelationsBetweenFields) {
  EXPECT_EQ(error_of("name: x\nschedule: {period: 2000, rate: 0.95}"),
            "x.yaml:2:32: schedule.rate = 0.95: must be at most 0.9 where schedule.period is above 1000");
  const auto document = ConfigDocument::from_text("schedule: {period: 2000}", "x.yaml");
  try {
    document.root().at("schedule").fail_entry("rate", "0.5", "is too small");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "x.yaml:1:11: schedule.rate = 0.5 (default): is too small");
  }
}

TEST(Config, LongValuesAreShortenedInMessages) {
  const std::string message = error_of("name: x\npopulation: " + std::string(5000, 'a'));
  EXPECT_LT(message.size(), 250U);
  EXPECT_THAT(message, HasSubstr("aaa...aaa"));
}

TEST(Config, HashIsThatOfTheMeaning) {
  const std::string hash = config_sha256(read("name: x\nsigma: 0.5\npopulation: 16"));
  EXPECT_EQ(hash.size(), 64U);
  EXPECT_EQ(config_sha256(read("{sigma: 5e-1, name: \"x\"}")), hash);
  EXPECT_NE(config_sha256(read("{sigma: 5e-1, name: y}")), hash);
  EXPECT_NE(config_sha256(read("{sigma: 5e-1, name: x, extra: {}}")), hash);
}

TEST(Config, DescribeTellsTheOriginOfEveryValue) {
  const auto document = ConfigDocument::from_text(
      "name: x\nschedule:\n  rate: 1\nbudget:\n  tokens: 5\nschedules:\n- period: 2", "x.yaml",
      {"population=4"});
  std::map<std::string, DescribedValue> values;
  for (const DescribedValue& value : describe<Example>(document)) {
    values[value.path] = value;
  }
  EXPECT_EQ(values["name"].origin, "x.yaml:1");
  EXPECT_EQ(values["name"].help, "name of the run");
  EXPECT_EQ(values["schedule.rate"].origin, "x.yaml:3");
  EXPECT_EQ(values["schedule.rate"].value, "1.0");
  EXPECT_EQ(values["schedule.period"].origin, "default");
  EXPECT_EQ(values["schedule.period"].value, "256");
  EXPECT_EQ(values["population"].origin, "command line");
  EXPECT_EQ(values["sigma"].origin, "default");
  EXPECT_EQ(values["budget.tokens"].origin, "x.yaml:5");
  EXPECT_EQ(values["schedules.0.period"].origin, "x.yaml:7");
  EXPECT_EQ(values["schedules.0.rate"].origin, "default");
  EXPECT_EQ(values["tasks"].value, "[hop]");
  EXPECT_THAT(to_text(describe<Example>(document)), HasSubstr("name = x"));
  // A word that stands for a mapping is where the mapping comes from.
  const auto resolved =
      ConfigValue::mapping().set("budget", ConfigValue::mapping().set("tokens", ConfigValue::integer(3)));
  const auto shorthand = ConfigDocument::from_text("budget: three", "x.yaml");
  EXPECT_EQ(describe(resolved, shorthand).at(0).origin, "x.yaml:1");
}

TEST(Constraint, Texts) {
  EXPECT_EQ(at_least(2).text(), "at least 2");
  EXPECT_EQ((above(0) && at_most(1)).text(), "above 0 and at most 1");
  EXPECT_EQ(below(0.5).text(), "below 0.5");
  EXPECT_EQ((at_least(0) && at_least(3) && at_most(5)).text(), "between 3 and 5");
  EXPECT_EQ((one_of({"a", "b"}) && one_of({"b", "c"})).text(), "one of b");
  EXPECT_EQ(Constraint{}.text(), "");
}

}  // namespace
}  // namespace namm
