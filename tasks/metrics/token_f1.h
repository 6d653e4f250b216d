#pragma once

#include <vector>

#include "tasks/text/unicode.h"

namespace namm::tasks {

/// F1 of two bags of tokens: overlap is the sum of the smaller multiplicities; 0 without overlap.
double bag_f1(const std::vector<Text>& prediction, const std::vector<Text>& gold);

/// The words of an English answer after SQuAD's normalisation, in its order: lower case, ASCII punctuation
/// deleted, the whole words a, an, the replaced by a blank, split on white space (benchmarks 1).
std::vector<Text> normalized_words(TextView text);

/// LongBench `qa_f1_score`.
double qa_f1(TextView prediction, TextView gold);

}  // namespace namm::tasks
