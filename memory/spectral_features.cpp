#include "memory/spectral_features.h"

#include "core/errors.h"
#include "core/text.h"

namespace namm::memory {
namespace {

constexpr double kLogOffset = 1e-4;

}  // namespace

std::vector<std::string> spectral_feature_kinds() {
  return {"magnitude", "log_magnitude", "complex", "dc_only"};
}

int64_t spectral_feature_count(const std::string& kind, const SpectrogramConfig& spectrogram) {
  if (kind == "complex") return spectrogram.n_fft;
  return kind == "dc_only" ? 1 : spectrogram.bins();
}

at::Tensor spectral_features(const at::Tensor& ema, const std::string& kind) {
  if (kind == "magnitude" || kind == "complex") return ema;
  if (kind == "log_magnitude") return (ema + kLogOffset).log_();
  if (kind == "dc_only") return ema.narrow(1, 0, 1).contiguous();
  throw ConfigError("features = " + kind + ": one of " + join(spectral_feature_kinds(), ", "));
}

}  // namespace namm::memory
