#pragma once

#include <vector>

#include "tests/bench/case.h"

namespace namm::bench {

/// The cases that need no model: spectrogram, update-4096, update-8192, chunk-8192, bam-8192, memory-8192,
/// memory-16384. Cases of one length share their random layer while the returned list lives.
std::vector<Case> layer_cases();

}  // namespace namm::bench
