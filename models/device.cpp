#include "models/device.h"

#include <dlfcn.h>

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include "core/errors.h"

namespace namm::models {
namespace {

#ifdef NAMM_WITH_CUDA
CudaDevices load_cuda() {
  // The driver first: it is small, and without it the big library is of no use.
  if (::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_GLOBAL) == nullptr)
    return {0, "this machine has no NVIDIA driver (libcuda.so.1)"};
  if (::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char* reason = ::dlerror();
    return {0, std::string("LibTorch's CUDA back end cannot be loaded: ") +
                   (reason == nullptr ? "unknown reason" : reason)};
  }
  if (!at::hasCUDA()) return {0, "LibTorch's CUDA back end finds no usable device"};
  const int count = at::detail::getCUDAHooks().deviceCount();
  if (count == 0) return {0, "this machine has no CUDA device"};
  return {count, ""};
}
#else
CudaDevices load_cuda() {
  return {0,
          "this build has no CUDA back end (configure with -DNAMM_CUDA=ON where a CUDA build of LibTorch is "
          "installed)"};
}
#endif

}  // namespace

CudaDevices find_cuda_devices() {
  static const CudaDevices devices = load_cuda();
  return devices;
}

at::Device parse_device(const std::string& text) {
  if (text == "cpu") return at::kCPU;
  if (text == "auto") return find_cuda_devices().count > 0 ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  int index = 0;
  bool known = text == "cuda";
  if (text.starts_with("cuda:") && text.size() > 5 && text.size() <= 8 &&
      text.find_first_not_of("0123456789", 5) == std::string::npos) {
    known = true;
    index = std::stoi(text.substr(5));
  }
  if (!known)
    throw ConfigError("device '" + text +
                      "' is not known: auto, cpu, cuda or cuda:N (the N-th device, from 0)");
  const CudaDevices devices = find_cuda_devices();
  if (devices.count == 0) throw ConfigError("device '" + text + "': " + devices.missing + "; use cpu");
  if (index >= devices.count) {
    throw ConfigError("device '" + text + "': this machine has CUDA devices 0 to " +
                      std::to_string(devices.count - 1));
  }
  return {at::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

}  // namespace namm::models
