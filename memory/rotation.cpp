#include "memory/rotation.h"

#include <algorithm>

#include "core/errors.h"
#include "memory/held_tensor.h"

namespace namm::memory {
namespace {

constexpr int64_t kKeyTile = 1024;

// Angles of every pair [n, d / 2], float32 products held in float64 so that their difference is exact.
at::Tensor angles(const at::Tensor& positions, const at::Tensor& inverse_frequencies) {
  return (positions.to(at::kFloat).unsqueeze(1) * inverse_frequencies).to(at::kDouble);
}

}  // namespace

PositionMode position_mode(const std::string& name) {
  if (name == "original") return PositionMode::original;
  if (name == "compacted") return PositionMode::compacted;
  throw ConfigError("positions: " + name + " is neither original nor compacted");
}

at::Tensor rotated(const at::Tensor& keys, const at::Tensor& from, const at::Tensor& to,
                   const at::Tensor& inverse_frequencies) {
  const int64_t n = keys.size(0), half = keys.size(1) / 2;
  TORCH_CHECK(keys.dim() == 2 && keys.size(1) % 2 == 0 && inverse_frequencies.dim() == 1 &&
                  inverse_frequencies.size(0) == half && from.sizes() == at::IntArrayRef({n}) &&
                  to.sizes() == from.sizes(),
              "[rotation] keys [n, d], positions [n] twice and d / 2 frequencies are expected, got ",
              keys.sizes(), ", ", from.sizes(), ", ", to.sizes(), " and ", inverse_frequencies.sizes());
  const at::ScalarType type = keys.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  at::Tensor result = held_empty(keys.sizes(), keys.options());
  for (int64_t first = 0; first < n; first += kKeyTile) {
    const int64_t count = std::min(kKeyTile, n - first);
    const at::Tensor turn = angles(to.narrow(0, first, count), inverse_frequencies) -
                            angles(from.narrow(0, first, count), inverse_frequencies);
    const at::Tensor cosine = turn.cos().to(type), sine = turn.sin().to(type);
    const at::Tensor tile = keys.narrow(0, first, count).to(type);
    const at::Tensor low = tile.narrow(1, 0, half), high = tile.narrow(1, half, half);
    const at::Tensor out = result.narrow(0, first, count);
    out.narrow(1, 0, half).copy_(low * cosine - high * sine);
    out.narrow(1, half, half).copy_(high * cosine + low * sine);
  }
  return result;
}

}  // namespace namm::memory
