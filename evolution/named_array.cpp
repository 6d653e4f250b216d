#include "evolution/named_array.h"

#include <algorithm>

#include "core/errors.h"
#include "core/sha256.h"
#include "core/text.h"

namespace namm::evolution {
namespace {

const NamedArray* find(const NamedArrays& arrays, std::string_view name) {
  const auto found =
      std::find_if(arrays.begin(), arrays.end(), [&](const NamedArray& a) { return a.name == name; });
  return found == arrays.end() ? nullptr : &*found;
}

template <class T>
const std::vector<T>& values_of(const NamedArrays& arrays, std::string_view name, int64_t count) {
  const NamedArray* array = find(arrays, name);
  if (array == nullptr) {
    throw DataError(format_text("saved state: array \"{}\" is missing", name));
  }
  const auto* values = std::get_if<std::vector<T>>(&array->values);
  if (values == nullptr) {
    throw DataError(format_text("saved state: array \"{}\" has the wrong type", name));
  }
  if (static_cast<int64_t>(values->size()) != array->elements() ||
      (count >= 0 && static_cast<int64_t>(values->size()) != count)) {
    throw DataError(format_text("saved state: array \"{}\" has {} values, expected {}", name, values->size(),
                                count >= 0 ? count : array->elements()));
  }
  return *values;
}

}  // namespace

int64_t NamedArray::elements() const {
  int64_t product = 1;
  for (const int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(product, extent, &product)) {
      return -1;
    }
  }
  return product;
}

NamedArray scalar_array(std::string name, double value) {
  return {std::move(name), {}, std::vector<double>{value}};
}

NamedArray scalar_array(std::string name, int64_t value) {
  return {std::move(name), {}, std::vector<int64_t>{value}};
}

NamedArray vector_array(std::string name, std::vector<double> values) {
  const auto count = static_cast<int64_t>(values.size());
  return {std::move(name), {count}, std::move(values)};
}

NamedArray vector_array(std::string name, std::vector<int64_t> values) {
  const auto count = static_cast<int64_t>(values.size());
  return {std::move(name), {count}, std::move(values)};
}

bool has_array(const NamedArrays& arrays, std::string_view name) {
  return find(arrays, name) != nullptr;
}

const std::vector<double>& doubles_of(const NamedArrays& arrays, std::string_view name, int64_t count) {
  return values_of<double>(arrays, name, count);
}

const std::vector<int64_t>& integers_of(const NamedArrays& arrays, std::string_view name, int64_t count) {
  return values_of<int64_t>(arrays, name, count);
}

double double_of(const NamedArrays& arrays, std::string_view name) {
  return doubles_of(arrays, name, 1).front();
}

int64_t integer_of(const NamedArrays& arrays, std::string_view name) {
  return integers_of(arrays, name, 1).front();
}

std::string sha256_of(const NamedArrays& arrays) {
  Sha256 hash;
  hash.update_integer(arrays.size());
  for (const NamedArray& array : arrays) {
    hash.update_integer(array.name.size()).update(array.name);
    hash.update_integer(array.values.index()).update_integer(array.shape.size());
    for (const int64_t extent : array.shape) {
      hash.update_integer(static_cast<uint64_t>(extent));
    }
    // Little-endian machines only, as everything that this program is built for.
    std::visit([&](const auto& values) { hash.update(values.data(), values.size() * sizeof(values[0])); },
               array.values);
  }
  return hash.hex();
}

}  // namespace namm::evolution
