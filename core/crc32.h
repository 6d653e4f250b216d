#pragma once

#include <cstdint>
#include <string_view>

namespace namm {

/// CRC-32 (ISO-HDLC, the one of zlib and PNG) of `bytes`; `crc` continues an earlier value.
uint32_t crc32(std::string_view bytes, uint32_t crc = 0);

}  // namespace namm
