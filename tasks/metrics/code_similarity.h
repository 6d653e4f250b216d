#pragma once

#include <cstdint>

#include "tasks/text/unicode.h"

namespace namm::tasks {

/// Which library stands behind fuzzywuzzy's ratio: Python's difflib (LongBench's requirements install nothing
/// else) or python-Levenshtein. The scores differ visibly (benchmarks 2.7).
enum class EditSimilarity : uint8_t { difflib, levenshtein };

/// LongBench `code_sim_score`: the prediction's first line without backtick, `#` and `//`, against the gold
/// line, as `fuzz.ratio` / 100.
double code_similarity(TextView prediction, TextView gold,
                       EditSimilarity similarity = EditSimilarity::difflib);

/// fuzzywuzzy's `ratio`: 0 to 100, a whole number, halves rounded to even.
int edit_ratio(TextView a, TextView b, EditSimilarity similarity);

}  // namespace namm::tasks
