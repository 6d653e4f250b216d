#pragma once

#include <vector>

#include "tests/bench/case.h"

namespace namm::experiments {

/// The cases of `namm bench` that run the shipped small model: small-model-8192, population-16x4,
/// prefill-32768, exponent. Model and memory are loaded when the first of them runs (DataError when they did
/// not come with the program).
std::vector<bench::Case> model_cases();

}  // namespace namm::experiments
