#include "evolution/named_array.h"

#include <algorithm>

#include "core/errors.h"
#include "core/sha256.h"
#include "core/text.h"
#include "evolution/bytes.h"

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

std::string encode(const NamedArrays& arrays) {
  ByteWriter writer;
  writer.number(static_cast<uint64_t>(arrays.size()));
  for (const NamedArray& array : arrays) {
    writer.text(array.name);
    writer.number(static_cast<uint8_t>(array.values.index()));
    writer.number(static_cast<uint64_t>(array.shape.size()));
    for (const int64_t extent : array.shape) {
      writer.number(extent);
    }
    std::visit(
        [&](const auto& values) {
          writer.text({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(values[0])});
        },
        array.values);
  }
  return writer.take();
}

NamedArrays decode_arrays(std::string_view bytes) {
  ByteReader reader(bytes, "list of arrays");
  NamedArrays arrays(reader.count(8 + 1 + 8 + 8));
  for (NamedArray& array : arrays) {
    array.name = reader.text();
    const auto type = reader.number<uint8_t>();
    if (type > 1) {
      reader.fail("unknown type of values");
    }
    array.shape.resize(reader.count(8));
    for (int64_t& extent : array.shape) {
      extent = reader.number<int64_t>();
    }
    const std::string_view values = reader.text();
    const auto fill = [&](auto values_of_type) {
      values_of_type.resize(values.size() / 8);
      std::copy(values.begin(), values.begin() + static_cast<int64_t>(values_of_type.size() * 8),
                reinterpret_cast<char*>(values_of_type.data()));
      array.values = std::move(values_of_type);
    };
    if (type == 0) {
      fill(std::vector<double>());
    } else {
      fill(std::vector<int64_t>());
    }
    if (values.size() % 8 != 0 || array.elements() != static_cast<int64_t>(values.size() / 8)) {
      reader.fail("shape and number of values differ");
    }
  }
  reader.expect_end();
  return arrays;
}

}  // namespace namm::evolution
