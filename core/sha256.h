#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace namm {

/// SHA-256 (FIPS 180-4) over bytes given in pieces.
class Sha256 {
 public:
  Sha256();

  Sha256& update(std::string_view bytes);
  Sha256& update(const void* bytes, std::size_t count);
  /// Eight bytes, little endian.
  Sha256& update_integer(uint64_t value);

  /// Digest of all bytes so far; more may follow.
  std::array<uint8_t, 32> digest() const;
  /// Digest as 64 hexadecimal letters in lower case.
  std::string hex() const;

 private:
  void compress(const uint8_t* block);

  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> pending_{};
  uint64_t bytes_ = 0;
};

std::string sha256_hex(std::string_view bytes);

/// Digest of a file, read in pieces. Throws DataError.
std::string sha256_file(const std::filesystem::path& path);

}  // namespace namm
