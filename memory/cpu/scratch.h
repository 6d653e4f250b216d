#pragma once

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>
#include <vector>

#include <hwy/aligned_allocator.h>

namespace namm::memory::cpu {

/// Memory that a thread uses again from task to task. Not thread-safe.
class Scratch {
 public:
  /// `count` values that are not initialised, aligned for vectors; valid until the next clear().
  /// Throws std::bad_alloc.
  template <class T>
  T* take(size_t count) {
    const size_t bytes = (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    if (blocks_.empty() || used_ + bytes > blocks_.back().size) {
      const size_t size = std::max(bytes, blocks_.empty() ? size_t{1} << 16 : 2 * blocks_.back().size);
      auto memory = hwy::AllocateAligned<char>(size);
      if (!memory) throw std::bad_alloc();
      blocks_.push_back({std::move(memory), size});
      used_ = 0;
    }
    char* const begin = blocks_.back().memory.get() + used_;
    used_ += bytes;
    return reinterpret_cast<T*>(begin);
  }

  /// Everything taken is given back; the largest block stays.
  void clear() {
    if (blocks_.size() > 1) blocks_.erase(blocks_.begin(), blocks_.end() - 1);
    used_ = 0;
  }

 private:
  static constexpr size_t kAlignment = 128;
  struct Block {
    hwy::AlignedFreeUniquePtr<char[]> memory;
    size_t size;
  };
  std::vector<Block> blocks_;
  size_t used_ = 0;  // of the last block
};

}  // namespace namm::memory::cpu
