#pragma once

#include "tasks/text/unicode.h"

namespace namm::tasks {

/// rougeLsum F of the Python package `rouge_score` 0.1.2 without stemmer, one text against one (benchmarks
/// 3.4): lines are sentences, words are runs of a-z and 0-9 of the lower-case text, every occurrence of a
/// word counts once. Text without a word gives 0. Throws DataError for sentences whose table is too large
/// (CommonSubsequence).
double rouge_lsum(TextView prediction, TextView gold);

}  // namespace namm::tasks
