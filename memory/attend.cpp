#include "memory/attend.h"

#include <mutex>

#include <torch/library.h>

#include "memory/attend_schema.h"
#include "memory/session.h"

namespace namm::memory {
namespace {

at::Tensor attend(at::Tensor& session, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  int64_t layer, double scale, int64_t window_tokens) {
  TORCH_CHECK(session.is_cpu() && session.scalar_type() == at::kLong && session.numel() == 1,
              "[attend] session must be an int64 CPU tensor [1], got ", session.scalar_type(), " ",
              session.sizes(), " on ", session.device());
  return session_of(*session.const_data_ptr<int64_t>()).attend(q, k, v, layer, scale, window_tokens);
}

}  // namespace

void register_operators() {
  static std::once_flag once;
  std::call_once(once, [] {
    // Lives as long as the program: archives refer to the operator.
    static auto* const library =
        new torch::Library(torch::Library::FRAGMENT, "namm", std::nullopt, __FILE__, __LINE__);
    library->def(kAttendSchema);
    library->impl("attend", torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, TORCH_FN(attend)));
  });
}

}  // namespace namm::memory
