#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

namespace namm::testing {

/// LibTorch's memory of the processor, counted: bytes held now and at most since the last reset.
class CountingAllocator : public c10::Allocator {
 public:
  static CountingAllocator& install() {
    static CountingAllocator* const instance = [] {
      auto* allocator = new CountingAllocator;
      c10::SetCPUAllocator(allocator, 100);
      return allocator;
    }();
    return *instance;
  }

  int64_t now() const { return now_; }
  int64_t peak() const { return peak_; }
  void reset_peak() { peak_ = now_.load(); }

  c10::DataPtr allocate(size_t bytes) override {
    void* memory = nullptr;
    if (posix_memalign(&memory, kHeader, bytes + kHeader) != 0) throw std::bad_alloc();
    *static_cast<size_t*>(memory) = bytes;
    now_ += static_cast<int64_t>(bytes);
    int64_t seen = peak_;
    while (seen < now_ && !peak_.compare_exchange_weak(seen, now_)) {
    }
    void* data = static_cast<char*>(memory) + kHeader;
    return {data, data, &release, at::Device(at::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }

 private:
  static constexpr size_t kHeader = 64;

  static void release(void* data) {
    if (!data) return;
    void* memory = static_cast<char*>(data) - kHeader;
    install().now_ -= static_cast<int64_t>(*static_cast<size_t*>(memory));
    std::free(memory);
  }

  std::atomic<int64_t> now_{0}, peak_{0};
};

}  // namespace namm::testing
