#pragma once

#include <optional>

#include "tasks/text/unicode.h"

namespace namm::tasks {

/// Share of the numbers in the prediction that are `number`, compared as strings; 0 without numbers.
/// LongBench `count_score` with the whole gold text as `number`.
double number_share(TextView prediction, TextView number);

/// LongBench `retrieval_score` and `retrieval_zh_score`: number_share of the digits that follow `marker` in
/// the gold text (U"Paragraph ", U"段落"). Nothing where the gold text has no such number: the official
/// function raises there.
std::optional<double> retrieval(TextView prediction, TextView gold, TextView marker);

inline constexpr TextView english_paragraph_marker = U"Paragraph ";
inline constexpr TextView chinese_paragraph_marker = U"\u6BB5\u843D";

}  // namespace namm::tasks
