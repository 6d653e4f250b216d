#pragma once

#include <cstdint>

namespace namm::bench {

/// Memory of this process that is resident, bytes, now and at most since `reset_resident_peak`, as the kernel
/// counts it: whoever allocated it, mapped it or keeps it for later. Throws Skipped where the kernel does not
/// tell.
int64_t resident_bytes();
int64_t resident_peak_bytes();

/// Gives free blocks back to the system and starts a new peak.
void reset_resident_peak();

}  // namespace namm::bench
