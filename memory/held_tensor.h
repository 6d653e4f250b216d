#pragma once

#include <cstdint>

#include <ATen/ATen.h>

namespace namm::memory {

/// From this size on a held tensor of the processor has pages of its own.
inline constexpr int64_t kOwnPagesBytes = 1 << 20;

/// An uninitialised tensor for what a session holds from step to step. A large one on the processor is mapped
/// by itself, so that the system has its memory back the moment the last reference goes: the C library's
/// allocator keeps freed blocks of up to 32 MB for later requests. c10::OutOfMemoryError where the system
/// gives none.
at::Tensor held_empty(at::IntArrayRef sizes, const at::TensorOptions& options);
/// A contiguous copy that is held so.
at::Tensor held_copy(const at::Tensor& x);

/// Gives the system the pages that lie wholly inside `x`, a contiguous part of a tensor of the processor that
/// nobody will read again: its content is lost. For moves of large tensors part by part, that need not hold
/// both copies.
void give_back_pages(const at::Tensor& x);

/// Gives the system what the C library's allocator keeps of freed blocks. Takes milliseconds: for moments at
/// which much was freed.
void return_freed_memory();

}  // namespace namm::memory
