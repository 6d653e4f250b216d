#include "tasks/task_list.h"

#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "tasks/needle_words.h"

namespace namm::tasks {
namespace {

using ::testing::HasSubstr;

TEST(TaskList, NamesAreDifferent) {
  const std::vector<std::string> names = task_names();
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
  EXPECT_EQ(names.size(), 9u + 21 + 13 + 12 + 4);
}

TEST(TaskList, UnknownNameIsAnsweredWithTheList) {
  try {
    make_task("needle/hops", {});
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("did you mean needle/hop?"));
    for (const std::string& name : task_names()) EXPECT_THAT(error.what(), HasSubstr(name));
  }
  EXPECT_THROW(make_task("", {}), ConfigError);
  EXPECT_THROW(make_task("longbench-e/narrativeqa", {}), ConfigError);
}

TEST(TaskConfig, DefaultsReadBack) {
  const TaskConfig config = read_config<TaskConfig>(ConfigDocument::from_text("seed: 1", "test.yaml"));
  EXPECT_EQ(config, TaskConfig{});
  EXPECT_EQ(read_config<TaskConfig>(ConfigDocument::from_text(to_yaml(config), "test.yaml")), config);
}

TEST(TaskConfig, RefusesBadValues) {
  for (const char* bad :
       {"context_tokens: 8", "density: 0", "decoys: 1.5", "truncation: right", "fact_kind: song",
        "record_splits: train", "facts_per_context: 25", "contexttokens: 100", "seed: -1"}) {
    EXPECT_THROW(read_config<TaskConfig>(ConfigDocument::from_text(bad, "test.yaml")), ConfigError) << bad;
  }
}

TEST(NeedleWords, AreTheVocabularyOfTheShippedModel) {
  const nlohmann::json groups =
      nlohmann::json::parse(std::ifstream(NAMM_SOURCE_DIR "/models/tiny/vocabulary.json")).at("groups");
  const auto expect_group = [](WordGroup ours, const nlohmann::json& theirs, const char* name) {
    EXPECT_EQ(std::vector<std::string>(ours.begin(), ours.end()), theirs.get<std::vector<std::string>>())
        << name;
  };
  expect_group(names(), groups.at("names"), "names");
  expect_group(values(), groups.at("values"), "values");
  expect_group(labels(), groups.at("labels"), "labels");
  expect_group(adjectives(), groups.at("adjectives"), "adjectives");
  expect_group(verbs(), groups.at("verbs"), "verbs");
  expect_group(numbers(), groups.at("numbers"), "numbers");
  ASSERT_EQ(groups.at("categories").size(), category_count);
  for (size_t i = 0; i < category_count; ++i)
    expect_group(nouns_of(i), groups.at("categories").at(i), "nouns");
  EXPECT_EQ(nouns().size(), category_count * nouns_per_category);
}

}  // namespace
}  // namespace namm::tasks
