#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

#include "core/errors.h"

namespace namm::evolution {

/// Builds a record of plain numbers and length-prefixed texts, little-endian.
class ByteWriter {
 public:
  template <class T>
  requires std::is_arithmetic_v<T>
  void number(T value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void text(std::string_view text) {
    number(static_cast<uint64_t>(text.size()));
    bytes_.append(text);
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Reads what a ByteWriter wrote; every length is checked against what is left. Throws DataError.
class ByteReader {
 public:
  /// `what` stands in errors and must outlive the reader.
  ByteReader(std::string_view bytes, std::string_view what) : bytes_(bytes), what_(what) {}

  template <class T>
  requires std::is_arithmetic_v<T> T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view text() { return take(number<uint64_t>()); }

  /// A count of things that take at least `least_size` bytes each.
  uint64_t count(uint64_t least_size) {
    const auto value = number<uint64_t>();
    if (value > bytes_.size() / least_size) {
      fail("a count is larger than the record");
    }
    return value;
  }
  void expect_end() const {
    if (!bytes_.empty()) {
      fail("bytes are left over");
    }
  }
  [[noreturn]] void fail(std::string_view reason) const {
    throw DataError(std::string(what_) + ": " + std::string(reason));
  }

 private:
  std::string_view take(uint64_t size) {
    if (size > bytes_.size()) {
      fail("it is truncated");
    }
    const std::string_view piece = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return piece;
  }

  std::string_view bytes_;
  std::string_view what_;
};

}  // namespace namm::evolution
