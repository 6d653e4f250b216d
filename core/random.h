#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace namm {

/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11): four 32-bit numbers as
/// a pure function of counter and key.
std::array<uint32_t, 4> philox4x32(const std::array<uint32_t, 4>& counter,
                                   const std::array<uint32_t, 2>& key);

/// What a stream of random numbers is for. Streams of different keys are independent; there is no other
/// state, so neither the order nor the number of threads that draw can change a number. Every seed, 0
/// included, is a seed.
struct StreamKey {
  uint64_t seed = 0;
  std::string_view purpose;  ///< e.g. "population", "samples", "needle/hop"; names the use, so that two uses
                             ///< never share numbers
  uint64_t generation = 0;
  uint64_t member = 0;
  uint64_t sample = 0;
};

/// The numbers of one key in order. Bit-identical on every platform: integer arithmetic and the basic IEEE
/// operations only.
class RandomStream {
 public:
  explicit RandomStream(const StreamKey& key);

  uint32_t uint32();
  uint64_t uint64();
  /// In [0, 1), multiples of 2^-53.
  double uniform();
  /// In [0, n), unbiased; n >= 1 or std::invalid_argument.
  uint64_t uniform_int(uint64_t n);
  /// Standard normal by the inverse distribution function (Wichura, AS 241); one 64-bit draw each, |value|
  /// < 8.3.
  double normal();

  /// Fisher-Yates.
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) {
      std::swap(items[i - 1], items[static_cast<std::size_t>(uniform_int(i))]);
    }
  }

  /// `count` different numbers of [0, n), in the order drawn; count <= n or std::invalid_argument.
  std::vector<int64_t> sample_without_replacement(int64_t n, int64_t count);

  /// 32-bit numbers drawn so far: stored in checkpoints, restored with set_position.
  uint64_t position() const { return position_; }
  void set_position(uint64_t position);

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 2> stream_;
  std::array<uint32_t, 4> block_{};
  uint64_t block_index_ = ~uint64_t{0};  // of `block_`; none yet
  uint64_t position_ = 0;
};

/// Inverse of the standard normal distribution function, p in (0, 1); relative error about 1e-16, the same
/// bits everywhere.
double inverse_normal(double p);

}  // namespace namm
