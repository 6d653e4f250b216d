#pragma once

#include <memory>

#include <ATen/ATen.h>

#include "tests/bench/torch_pipeline.h"

namespace namm::bench {

/// While it lives, namm::attend called with `handle()` goes to a pipeline instead of a session: the same
/// archive runs on the baseline's memory. Calls with a session's handle go where they always go. One at a
/// time; memory::register_operators() ran before.
class AttendOverride {
 public:
  explicit AttendOverride(TorchPipeline& pipeline);
  ~AttendOverride();
  AttendOverride(const AttendOverride&) = delete;
  AttendOverride& operator=(const AttendOverride&) = delete;

  /// int64 CPU tensor [1], no session's handle.
  const at::Tensor& handle() const { return handle_; }

 private:
  struct Registration;
  at::Tensor handle_;
  std::unique_ptr<Registration> registration_;
};

}  // namespace namm::bench
