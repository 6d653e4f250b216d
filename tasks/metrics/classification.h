#pragma once

#include <vector>

#include "tasks/text/unicode.h"

namespace namm::tasks {

/// LongBench `classification_score`: 1 / (number of class names found in the prediction) if the right one is
/// among them. Names that are a proper part of the right one are taken out while the list is walked, so the
/// name after a removed one is not looked at: upstream's behaviour, reproduced because "exact" means its
/// value (benchmarks 2.5).
double classification(TextView prediction, TextView gold, const std::vector<Text>& all_classes);

}  // namespace namm::tasks
