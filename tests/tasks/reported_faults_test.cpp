// Faults that users of comparable programs reported in public (area: benchmarks), as this program must not
// have them.
#include <gtest/gtest.h>

#include "tasks/metrics/infinitebench/infinitebench.h"
#include "tasks/metrics/metric_list.h"

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

/// benchmarks-08 (NVIDIA/RULER#54 and others; RULER is none of our benchmarks): any accepted answer counts,
/// not all of them, on one scale.
TEST(ReportedFaults, AnyAcceptedAnswerCounts) {
  const auto best = best_score("qa_f1_score", U"seats 3,677", {U"3,677 seated", U"seats 3,677"}, {}, {});
  EXPECT_EQ(best, 1.0);
}

}  // namespace
}  // namespace namm::tasks
