// Reports of users of comparable programs (area: benchmarks) that no other test is about; 01, 02, 04, 07 and
// 09 are in metrics_test, scoring_test, prompt_template_test and truncation_test.
#include <gtest/gtest.h>

#include "tasks/metrics/infinitebench/infinitebench.h"
#include "tasks/metrics/metric_list.h"
#include "tasks/scoring/summary.h"

namespace namm::tasks {
namespace {

using nlohmann::json;

/// benchmarks-05 (OpenBMB/InfiniteBench#7): labels in a list, decimals against whole labels. The official
/// function raises on "3.0" against 3: no score, counted, where the report asks for 1.
TEST(ReportedFaults, NumbersOfMathFind) {
  for (const json& label : {json(3), json::array({3})}) {
    const auto score = [&](TextView prediction) {
      return infinitebench_score("math_find", prediction, label, {});
    };
    EXPECT_EQ(score(U"it is 3"), 1);
    EXPECT_EQ(score(U"it is 3.0"), std::nullopt);
    EXPECT_EQ(score(U"none"), 0);
    EXPECT_EQ(score(U"-3"), 1);
  }
}

/// benchmarks-06 (OpenBMB/InfiniteBench#22, #31): the exact metric misses wordings, and must go on doing so.
TEST(ReportedFaults, WordingsOfCodeDebug) {
  const auto score = [](TextView prediction) {
    return infinitebench_score("code_debug", prediction, {"parse_rows", "C"}, {});
  };
  EXPECT_EQ(score(U"C. parse_rows"), 1);
  EXPECT_EQ(score(U"The answer is: C"), 1);
  EXPECT_EQ(score(U"answer: parse_rows"), 1);
  EXPECT_EQ(score(U"The answer is C"), 0);
  EXPECT_EQ(score(U"Answer: (C)"), 0);
}

/// benchmarks-08 (NVIDIA/RULER#54 and others; RULER is none of our benchmarks): the best of the accepted
/// answers counts, not their mean and not all of them, and scores are 0 to 100 wherever they are reported.
TEST(ReportedFaults, AnyAcceptedAnswerCounts) {
  const std::vector<Text> answers{U"3,677 seated", U"3,677"};
  const double first = best_score("qa_f1_score", U"seats 3,677 people", {answers[0]}, {}).value();
  const double second = best_score("qa_f1_score", U"seats 3,677 people", {answers[1]}, {}).value();
  EXPECT_LT(first, second);
  EXPECT_EQ(best_score("qa_f1_score", U"seats 3,677 people", answers, {}), second);
  EXPECT_EQ(official_percentage({second, second}), 50.0);
}

}  // namespace
}  // namespace namm::tasks
