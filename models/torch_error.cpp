#include "models/torch_error.h"

#include <new>
#include <string_view>

#include <c10/util/Exception.h>

namespace namm::models {

std::string torch_reason(const std::exception& error) {
  std::string text = error.what();
  if (const auto* torch_error = dynamic_cast<const c10::Error*>(&error))
    text = torch_error->what_without_backtrace();
  if (const auto reason = text.rfind("RuntimeError: "); reason != std::string::npos)
    text = text.substr(reason + 14);
  if (text.size() > 400) text = text.substr(0, 400) + "...";
  return text;
}

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  const std::string_view text = error.what();
  return text.find("DefaultCPUAllocator: can't allocate memory") != std::string_view::npos ||
         text.find("DefaultCPUAllocator: not enough memory") != std::string_view::npos ||
         text.ends_with("std::bad_alloc") || text.find("CUDA out of memory") != std::string_view::npos;
}

}  // namespace namm::models
