#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace namm::evolution {

/// One array of a saved state: what it is called, its shape (row-major; empty shape = one number) and its
/// numbers. The numbers come back bit for bit.
struct NamedArray {
  std::string name;
  std::vector<int64_t> shape;
  std::variant<std::vector<double>, std::vector<int64_t>> values;

  /// Product of `shape`; the number of values that `values` must hold.
  int64_t elements() const;

  bool operator==(const NamedArray&) const = default;
};

using NamedArrays = std::vector<NamedArray>;

NamedArray scalar_array(std::string name, double value);
NamedArray scalar_array(std::string name, int64_t value);
NamedArray vector_array(std::string name, std::vector<double> values);
NamedArray vector_array(std::string name, std::vector<int64_t> values);

/// Look-ups; throw DataError when the array is missing, of another type, or (with `count` >= 0) of another
/// length.
bool has_array(const NamedArrays& arrays, std::string_view name);
const std::vector<double>& doubles_of(const NamedArrays& arrays, std::string_view name, int64_t count = -1);
const std::vector<int64_t>& integers_of(const NamedArrays& arrays, std::string_view name, int64_t count = -1);
double double_of(const NamedArrays& arrays, std::string_view name);
int64_t integer_of(const NamedArrays& arrays, std::string_view name);

/// SHA-256 (lower-case hex) over names, types, shapes and the bytes of all values, in list order.
std::string sha256_of(const NamedArrays& arrays);

/// Bytes of a list (little-endian), for items and queues; `decode_arrays` throws DataError on anything else.
std::string encode(const NamedArrays& arrays);
NamedArrays decode_arrays(std::string_view bytes);

}  // namespace namm::evolution
