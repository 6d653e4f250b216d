#include "memory/held_tensor.h"

#include <cerrno>
#include <cstdint>
#include <cstring>

#include <sys/mman.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace namm::memory {

at::Tensor held_empty(at::IntArrayRef sizes, const at::TensorOptions& options) {
  int64_t bytes = static_cast<int64_t>(options.dtype().itemsize());
  for (const int64_t size : sizes) bytes *= size;
  if (!options.device().is_cpu() || bytes < kOwnPagesBytes) return at::empty(sizes, options);
  const auto length = static_cast<size_t>(bytes);
  void* const pages = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  TORCH_CHECK_WITH(OutOfMemoryError, pages != MAP_FAILED, "[cache] the system has no ", bytes,
                   " bytes left for what the cache holds: ", std::strerror(errno));
  return at::from_blob(
      pages, sizes, [length](void* data) { munmap(data, length); }, options);
}

at::Tensor held_copy(const at::Tensor& x) {
  return held_empty(x.sizes(), x.options()).copy_(x);
}

void give_back_pages(const at::Tensor& x) {
  if (!x.is_cpu() || !x.is_contiguous()) return;
  static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(x.data_ptr());
  const uintptr_t first = (begin + page - 1) / page * page, last = (begin + x.nbytes()) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

void return_freed_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace namm::memory
