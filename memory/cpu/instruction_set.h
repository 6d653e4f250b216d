#pragma once

#include <string>

namespace namm::memory::cpu {

/// The instruction set that the kernels of this folder were chosen for at run time, by Highway's name: AVX2,
/// AVX3, NEON.
std::string instruction_set();

}  // namespace namm::memory::cpu
