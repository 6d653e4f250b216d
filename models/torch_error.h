#pragma once

#include <exception>
#include <string>

namespace namm::models {

/// What a person needs of an error that came through LibTorch: neither C++ frames nor the interpreter's
/// trace, at most 400 bytes.
std::string torch_reason(const std::exception& error);

/// Whether memory ran out, of the host or of a device. TorchScript passes errors on without their type, so
/// that only the text tells.
bool is_out_of_memory(const std::exception& error);

}  // namespace namm::models
