#pragma once

#include <cstdint>

#include "tasks/text/unicode.h"

namespace namm::tasks {

/// First number of trace-back steps at which the official scorer fails (and LongBench counts 0): Python's
/// recursion limit as reached from the official `eval.py` under Python 3.10. One frame more is in use for
/// Chinese and Japanese.
inline constexpr int64_t official_rouge_recursion_limit = 990;
inline constexpr int64_t official_rouge_recursion_limit_segmented = 989;

/// ROUGE-L F of the Python package `rouge` 1.0.1 at summary level, one text against one (benchmarks 2.6):
/// texts are cut at ASCII full stops, words are sets, the longest common subsequences of all sentence pairs
/// are united. A perfect match gives 0.999999995. Text without a word gives 0, as does a sentence pair whose
/// trace-back needs `recursion_limit` steps or more (0: no limit), because the official function raises there
/// and LongBench counts 0.
double rouge_l(TextView prediction, TextView gold, int64_t recursion_limit = official_rouge_recursion_limit);

}  // namespace namm::tasks
