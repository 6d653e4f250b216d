#include "tests/bench/attend_override.h"

#include <utility>

#include <torch/library.h>

#include "memory/session.h"

namespace namm::bench {

namespace {

// Generations of the session table begin with 1, so no session has it.
constexpr int64_t kNoSession = 0;

class AttendKernel final : public c10::OperatorKernel {
 public:
  explicit AttendKernel(TorchPipeline& pipeline) : pipeline_(pipeline) {}

  void operator()(const c10::OperatorHandle&, c10::DispatchKeySet, torch::jit::Stack* stack) {
    constexpr size_t kArguments = 7;
    auto arguments = torch::jit::last(*stack, kArguments);
    const int64_t handle = arguments[0].toTensor().item<int64_t>();
    const at::Tensor q = arguments[1].toTensor(), k = arguments[2].toTensor(), v = arguments[3].toTensor();
    const int64_t layer = arguments[4].toInt(), window_tokens = arguments[6].toInt();
    const double scale = arguments[5].toDouble();
    at::Tensor output;
    if (handle == kNoSession) {
      TORCH_CHECK(window_tokens == 0, "[torch_pipeline] sliding windows are not part of the baseline");
      output = pipeline_.attend(q, k, v, layer, scale);
    } else {
      output = memory::session_of(handle).attend(q, k, v, layer, scale, window_tokens);
    }
    torch::jit::drop(*stack, kArguments);
    torch::jit::push(*stack, std::move(output));
  }

 private:
  TorchPipeline& pipeline_;
};

}  // namespace

struct AttendOverride::Registration {
  // A kernel of the processor's own dispatch key goes before the session's, which serves all back ends.
  torch::Library library{torch::Library::IMPL, "namm", c10::DispatchKey::CPU, __FILE__, __LINE__};
};

AttendOverride::AttendOverride(TorchPipeline& pipeline)
    : handle_(at::full({1}, kNoSession, at::kLong)), registration_(std::make_unique<Registration>()) {
  registration_->library.impl(
      "attend", torch::CppFunction::makeFromBoxedFunctor(std::make_unique<AttendKernel>(pipeline)));
}

AttendOverride::~AttendOverride() = default;

}  // namespace namm::bench
