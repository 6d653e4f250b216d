#include "memory/cpu/instruction_set.h"

#include <hwy/targets.h>

namespace namm::memory::cpu {

std::string instruction_set() {
  // The best one has the lowest bit.
  const int64_t targets = hwy::SupportedTargets() & HWY_TARGETS;
  return hwy::TargetName(targets & -targets);
}

}  // namespace namm::memory::cpu
