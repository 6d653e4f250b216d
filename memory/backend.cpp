#include "memory/backend.h"

#include <utility>

#include <ATen/Version.h>

#include "core/errors.h"
#include "memory/cpu/instruction_set.h"

namespace namm::memory {
namespace {

constexpr std::pair<const char*, Backend> kNames[] = {{"auto", Backend::automatic},
                                                      {"reference", Backend::reference},
                                                      {"cpu", Backend::cpu},
                                                      {"check", Backend::check}};

}  // namespace

Backend backend(const std::string& name) {
  for (const auto& [known, value] : kNames) {
    if (name == known) return value;
  }
  throw ConfigError("backend = " + name + ": one of auto, reference, cpu, check");
}

std::string to_string(Backend backend) {
  for (const auto& [name, value] : kNames) {
    if (backend == value) return name;
  }
  return "?";
}

bool uses_cpu_kernels(Backend backend, const at::Tensor& like) {
  if (backend == Backend::reference) return false;
  const bool possible =
      like.is_cpu() && (like.scalar_type() == at::kFloat || like.scalar_type() == at::kBFloat16);
  TORCH_CHECK(possible || backend != Backend::cpu,
              "[backend] cpu computes on float32 and bfloat16 on the processor, not on ", like.scalar_type(),
              " on ", like.device(), "; set memory.backend to auto");
  return possible;
}

std::string cpu_capability() {
  return at::get_cpu_capability() + " / " + cpu::instruction_set();
}

}  // namespace namm::memory
