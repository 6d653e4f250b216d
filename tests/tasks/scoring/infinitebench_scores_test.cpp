// The stored answers of real models and the hand-made cases, against the scores of the official scripts.
#include <fstream>
#include <map>

#include <gtest/gtest.h>

#include "core/json_lines.h"
#include "tasks/scoring/score_infinitebench.h"
#include "tests/support/tolerances.h"

namespace namm::tasks {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

const std::filesystem::path data_folder = std::filesystem::path(NAMM_TEST_DATA) / "infinitebench";

class InfiniteBenchScores : public ::testing::TestWithParam<std::string> {
 protected:
  ScoreSettings settings(const std::string& model_name) const {
    ScoreSettings result =
        parse_score_settings("infinitebench", {"scorer=" + GetParam(), "model_name=" + model_name});
    result.jobs = 2;
    return result;
  }

  /// Compares a scored folder with the recorded scores of a model; returns how many values were compared.
  size_t compare_folder(const std::string& folder, const std::string& model) const {
    const json tasks = read_json(data_folder / "expected.json").at("models").at(model).at("tasks");
    const ordered_json scored = score_infinitebench(data_folder / folder, std::nullopt, settings(model));
    EXPECT_EQ(scored.at("datasets").size(), tasks.size());
    EXPECT_TRUE(scored.at("skipped").empty());
    size_t values = 0;
    for (const ordered_json& entry : scored.at("datasets")) {
      const std::string name = entry.at("dataset");
      const json& wanted = tasks.at(name).at("versions").at(GetParam());
      EXPECT_NEAR(entry.at("score").get<double>(), wanted.at("score").get<double>(),
                  tolerances::metrics::score)
          << name;
      const ordered_json& samples = entry.at("samples");
      EXPECT_EQ(samples.size(), wanted.at("scores").size()) << name;
      for (size_t i = 0; i < std::min(samples.size(), wanted.at("scores").size()); ++i, ++values) {
        EXPECT_NEAR(samples[i].get<double>(), wanted.at("scores")[i].get<double>(),
                    tolerances::metrics::score)
            << name << " record " << i;
      }
    }
    return values;
  }
};

TEST_P(InfiniteBenchScores, StoredAnswers) {
  EXPECT_EQ(compare_folder("pred", "gpt4"), 240u);
}

TEST_P(InfiniteBenchScores, StoredAnswersWithTheOtherKeys) {
  EXPECT_EQ(compare_folder("pred_other_keys", "yarn-mistral"), 15u);
}

TEST_P(InfiniteBenchScores, HandMadeCases) {
  const std::filesystem::path file = data_folder / "edge_cases.jsonl";
  std::map<std::string, json> wanted;
  JsonLinesReader reader(file);
  while (const auto record = reader.next()) {
    wanted[record->at("id").get<std::string>()] = record->at("scores").at(GetParam());
  }
  size_t compared = 0;
  const ordered_json scored = score_infinitebench_cases(file, settings(""));
  for (const ordered_json& entry : scored.at("datasets")) {
    for (const ordered_json& scored_case : entry.at("cases")) {
      const json& score = wanted.at(scored_case.at("id").get<std::string>());
      ++compared;
      if (score.is_null()) {
        EXPECT_TRUE(scored_case.at("score").is_null()) << scored_case;
        EXPECT_EQ(entry.at("raised"), 1);
        continue;
      }
      ASSERT_FALSE(scored_case.at("score").is_null()) << scored_case;
      EXPECT_NEAR(scored_case.at("score").get<double>(), score.get<double>(), tolerances::metrics::score)
          << scored_case;
    }
  }
  EXPECT_EQ(compared, wanted.size());
  EXPECT_EQ(compared, 112u);
}

INSTANTIATE_TEST_SUITE_P(Scorers, InfiniteBenchScores, ::testing::Values("2024-06", "2024-08"),
                         [](const auto& name) { return name.param == "2024-06" ? "June" : "August"; });

}  // namespace
}  // namespace namm::tasks
