#pragma once

#include "tasks/text/unicode.h"

namespace namm::tasks {

/// The set that the official Chinese and Japanese normalisers delete: ASCII punctuation and 74 more marks
/// (benchmarks 1). Not in it, although one would expect them: U+3008 to U+300A, U+3012, U+3013, U+30FB,
/// U+FF0E.
bool is_cjk_punctuation(char32_t c);

/// The normaliser of Chinese and Japanese answers: lower case, without the punctuation above, without white
/// space.
Text normalized_cjk(TextView text);

}  // namespace namm::tasks
