#pragma once

#include <string>

#include <ATen/ATen.h>

namespace namm::models {

/// Device of a command line: auto (CUDA where this build and machine have it, else the CPU), cpu, cuda,
/// cuda:N. Loads LibTorch's CUDA back end when one is asked for. Throws ConfigError saying what is missing.
at::Device parse_device(const std::string& text);

/// Devices of the CUDA back end, loaded if need be; 0 with the reason where there is none.
struct CudaDevices {
  int count = 0;
  std::string missing;  ///< empty where count > 0
};
CudaDevices find_cuda_devices();

}  // namespace namm::models
