#include "core/crc32.h"

#include <array>
#include <cstddef>

namespace namm {
namespace {

// Eight bytes a step ("slicing by 8", Kounavis and Berry 2005): archives of half a gigabyte are checked at
// every load.
constexpr std::size_t slices = 8;
using Tables = std::array<std::array<uint32_t, 256>, slices>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value & 1U) != 0 ? 0xEDB88320U ^ (value >> 1U) : value >> 1U;
    }
    tables[0][i] = value;
  }
  for (std::size_t slice = 1; slice < slices; ++slice) {
    for (std::size_t i = 0; i < 256; ++i) {
      const uint32_t before = tables[slice - 1][i];
      tables[slice][i] = (before >> 8U) ^ tables[0][before & 0xFFU];
    }
  }
  return tables;
}

constexpr Tables tables = make_tables();

uint32_t little_endian(const char* bytes) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) {
    value = value << 8U | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

}  // namespace

uint32_t crc32(std::string_view bytes, uint32_t crc) {
  crc = ~crc;
  for (; bytes.size() >= slices; bytes.remove_prefix(slices)) {
    const uint32_t low = little_endian(bytes.data()) ^ crc, high = little_endian(bytes.data() + 4);
    crc = tables[7][low & 0xFFU] ^ tables[6][(low >> 8U) & 0xFFU] ^ tables[5][(low >> 16U) & 0xFFU] ^
          tables[4][low >> 24U] ^ tables[3][high & 0xFFU] ^ tables[2][(high >> 8U) & 0xFFU] ^
          tables[1][(high >> 16U) & 0xFFU] ^ tables[0][high >> 24U];
  }
  for (const char byte : bytes) {
    crc = tables[0][(crc ^ static_cast<unsigned char>(byte)) & 0xFFU] ^ (crc >> 8U);
  }
  return ~crc;
}

}  // namespace namm
