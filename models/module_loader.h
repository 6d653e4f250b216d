#pragma once

#include <ATen/ATen.h>
#include <torch/script.h>

#include "models/package_file.h"

namespace namm::models {

/// The TorchScript module of `file`, whose checksums the caller has verified. On the processor its weights
/// are views of the mapped file, which lives as long as they do: nothing is read twice, and programs that run
/// one archive share its pages, but for those that a model writes to. Throws what LibTorch throws.
torch::jit::Module load_module(const PackageFile& file, at::Device device);

}  // namespace namm::models
