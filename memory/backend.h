#pragma once

#include <string>

#include <ATen/ATen.h>

namespace namm::memory {

/// How attention and the update are computed. The choice changes the last bits of results, nothing else.
enum class Backend {
  automatic,  ///< the fastest there is for the tensors at hand
  reference,  ///< plain tensor operations, obvious and slow, on any device
  cpu,        ///< the kernels of memory/cpu
  check,      ///< `automatic`, compared with `reference` at every step and update (session.h)
};

/// "auto", "reference", "cpu" or "check"; throws ConfigError for anything else.
Backend backend(const std::string& name);
std::string to_string(Backend backend);

/// Whether the kernels of memory/cpu compute on cached tensors of this kind: on the processor, float32 or
/// bfloat16. TORCH_CHECK: `cpu` is only asked for where they can.
bool uses_cpu_kernels(Backend backend, const at::Tensor& like);

/// The instruction sets that LibTorch's kernels and ours run with here: "AVX512 / AVX3". Another one gives other
/// last bits.
std::string cpu_capability();

}  // namespace namm::memory
