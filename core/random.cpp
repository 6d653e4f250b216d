#include "core/random.h"

#include <bit>
#include <cmath>
#include <stdexcept>
#include <unordered_map>

#include "core/sha256.h"

namespace namm {
namespace {

// Natural logarithm from basic operations alone: libm's differs in the last bit between processors.
double log_of(double x) {
  int exponent = 0;
  double mantissa = std::frexp(x, &exponent);  // exact; [0.5, 1)
  if (mantissa < 0.70710678118654752440) {
    mantissa *= 2;
    --exponent;
  }
  const double s = (mantissa - 1) / (mantissa + 1);
  const double s2 = s * s;
  double sum = 0;
  for (int k = 21; k >= 1; k -= 2) {
    sum = sum * s2 + 1.0 / k;
  }
  constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
  return exponent * ln2_high + (2 * s * sum + exponent * ln2_low);
}

double polynomial(const std::array<double, 8>& coefficients, double x) {
  double sum = 0;
  for (std::size_t i = coefficients.size(); i-- > 0;) {
    sum = sum * x + coefficients[i];
  }
  return sum;
}

}  // namespace

std::array<uint32_t, 4> philox4x32(const std::array<uint32_t, 4>& counter,
                                   const std::array<uint32_t, 2>& key) {
  auto [c0, c1, c2, c3] = counter;
  auto [k0, k1] = key;
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * c0;
    const uint64_t product1 = uint64_t{0xCD9E8D57} * c2;
    c0 = static_cast<uint32_t>(product1 >> 32U) ^ c1 ^ k0;
    c2 = static_cast<uint32_t>(product0 >> 32U) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(product1);
    c3 = static_cast<uint32_t>(product0);
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {c0, c1, c2, c3};
}

RandomStream::RandomStream(const StreamKey& key) {
  // The five parts of the key do not fit into Philox's 128 bits beside the block number, so a hash stands for
  // them.
  Sha256 hash;
  hash.update("namm.random.1")
      .update_integer(key.seed)
      .update_integer(key.purpose.size())
      .update(key.purpose)
      .update_integer(key.generation)
      .update_integer(key.member)
      .update_integer(key.sample);
  const std::array<uint8_t, 32> digest = hash.digest();
  const auto word = [&](std::size_t i) {
    return static_cast<uint32_t>(digest[4 * i]) | static_cast<uint32_t>(digest[4 * i + 1]) << 8U |
           static_cast<uint32_t>(digest[4 * i + 2]) << 16U | static_cast<uint32_t>(digest[4 * i + 3]) << 24U;
  };
  key_ = {word(0), word(1)};
  stream_ = {word(2), word(3)};
}

uint32_t RandomStream::uint32() {
  const uint64_t index = position_ / 4;
  if (index != block_index_) {
    block_ = philox4x32(
        {static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32U), stream_[0], stream_[1]}, key_);
    block_index_ = index;
  }
  return block_[position_++ % 4];
}

uint64_t RandomStream::uint64() {
  const uint64_t low = uint32();
  return low | static_cast<uint64_t>(uint32()) << 32U;
}

double RandomStream::uniform() {
  return static_cast<double>(uint64() >> 11U) * 0x1p-53;
}

uint64_t RandomStream::uniform_int(uint64_t n) {
  if (n == 0) {
    throw std::invalid_argument("uniform_int: n must be at least 1");
  }
  // 2^64 mod n of the 2^64 numbers would make some results likelier; they are drawn again.
  const uint64_t surplus = (0 - n) % n;
  for (;;) {
    const uint64_t draw = uint64();
    if (draw >= surplus) {
      return draw % n;
    }
  }
}

double RandomStream::normal() {
  return inverse_normal((static_cast<double>(uint64() >> 12U) + 0.5) * 0x1p-52);
}

std::vector<int64_t> RandomStream::sample_without_replacement(int64_t n, int64_t count) {
  if (count < 0 || count > n) {
    throw std::invalid_argument("sample_without_replacement: count must lie between 0 and n");
  }
  // Fisher-Yates on the numbers 0 to n-1; only the places that were changed are stored.
  std::unordered_map<int64_t, int64_t> moved;
  const auto at = [&](int64_t i) {
    const auto found = moved.find(i);
    return found == moved.end() ? i : found->second;
  };
  std::vector<int64_t> drawn;
  drawn.reserve(static_cast<std::size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t other = i + static_cast<int64_t>(uniform_int(static_cast<uint64_t>(n - i)));
    drawn.push_back(at(other));
    moved[other] = at(i);
  }
  return drawn;
}

void RandomStream::set_position(uint64_t position) {
  position_ = position;
}

double inverse_normal(double p) {
  if (!(p > 0 && p < 1)) {
    throw std::invalid_argument("inverse_normal: p must lie between 0 and 1");
  }
  // M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics
  // 37 (1988).
  const double q = p - 0.5;
  if (std::fabs(q) <= 0.425) {
    constexpr std::array<double, 8> a = {3.3871328727963666080e0,  1.3314166789178437745e+2,
                                         1.9715909503065514427e+3, 1.3731693765509461125e+4,
                                         4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                         3.3430575583588128105e+4, 2.5090809287301226727e+3};
    constexpr std::array<double, 8> b = {1.0,
                                         4.2313330701600911252e+1,
                                         6.8718700749205790830e+2,
                                         5.3941960214247511077e+3,
                                         2.1213794301586595867e+4,
                                         3.9307895800092710610e+4,
                                         2.8729085735721942674e+4,
                                         5.2264952788528545610e+3};
    const double r = 0.180625 - q * q;
    return q * polynomial(a, r) / polynomial(b, r);
  }
  double r = std::sqrt(-log_of(q < 0 ? p : 1 - p));
  double value = 0;
  if (r <= 5) {
    constexpr std::array<double, 8> c = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                         5.76949722146069140550e0,  3.64784832476320460504e0,
                                         1.27045825245236838258e0,  2.41780725177450611770e-1,
                                         2.27238449892691845833e-2, 7.74545014278341407640e-4};
    constexpr std::array<double, 8> d = {1.0,
                                         2.05319162663775882187e0,
                                         1.67638483018380384940e0,
                                         6.89767334985100004550e-1,
                                         1.48103976427480074590e-1,
                                         1.51986665636164571966e-2,
                                         5.47593808499534494600e-4,
                                         1.05075007164441684324e-9};
    r -= 1.6;
    value = polynomial(c, r) / polynomial(d, r);
  } else {
    constexpr std::array<double, 8> e = {6.65790464350110377720e0,  5.46378491116411436990e0,
                                         1.78482653991729133580e0,  2.96560571828504891230e-1,
                                         2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                         2.71155556874348757815e-5, 2.01033439929228813265e-7};
    constexpr std::array<double, 8> f = {1.0,
                                         5.99832206555887937690e-1,
                                         1.36929880922735805310e-1,
                                         1.48753612908506148525e-2,
                                         7.86869131145613259100e-4,
                                         1.84631831751005468180e-5,
                                         1.42151175831644588870e-7,
                                         2.04426310338993978564e-15};
    r -= 5;
    value = polynomial(e, r) / polynomial(f, r);
  }
  return q < 0 ? -value : value;
}

}  // namespace namm
