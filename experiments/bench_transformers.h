#pragma once

#include <vector>

#include "tests/bench/case.h"

namespace namm::experiments {

/// The cases of `namm bench models`: prefill and decoding under the full cache beside the library
/// `transformers` on the same weights (float32, the same threads), of SmolLM2-135M-Instruct and of the
/// shipped small model. Greedy ids are compared first. Skipped where the Python environment of the tests or
/// the weights are missing.
std::vector<bench::Case> transformers_cases();

}  // namespace namm::experiments
