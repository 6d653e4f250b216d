#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/config_document.h"
#include "core/config_value.h"
#include "core/constraint.h"

/// Typed configuration. A struct lists its fields once; the list serves reading, writing, describing and
/// hashing:
///
///     struct CmaEsConfig {
///       int64_t population = 0;
///       std::string kind = "cma-es";
///       bool operator==(const CmaEsConfig&) const = default;
///       template <class Self, class Visitor>
///       static void fields(Self& self, Visitor& visit) {
///         visit("population", self.population, at_least(2), "members of one generation");
///         visit("kind", self.kind, one_of({"cma-es", "cr-fm-nes"}), "optimiser");
///       }
///       void check(const ConfigNode& node) const;   // optional: relations between fields;
///       node.fail_entry(...)
///     };
///
/// Field types: bool, integers, float, double, std::string, ConfigPath, structs with `fields`, and
/// std::optional, std::vector, std::map<std::string, ...> of these. A type of another shape brings `static T
/// from_config(const ConfigNode&)` and `ConfigValue to_config() const`.
namespace namm {

/// A file or folder named in a config; relative ones are resolved against the file that names them, so
/// `value` is absolute after reading (or empty).
struct ConfigPath {
  std::filesystem::path value;
  bool empty() const { return value.empty(); }
  bool operator==(const ConfigPath&) const = default;
};

namespace detail {

int64_t read_integer(const ConfigNode& node, int64_t low, int64_t high, const Constraint& constraint);
uint64_t read_unsigned(const ConfigNode& node, uint64_t high, const Constraint& constraint);
double read_double(const ConfigNode& node, const Constraint& constraint);
float read_float(const ConfigNode& node, const Constraint& constraint);
bool read_bool(const ConfigNode& node);
std::string read_string(const ConfigNode& node, const Constraint& constraint);
ConfigPath read_path(const ConfigNode& node, const Constraint& constraint);
void expect_sequence(const ConfigNode& node, const Constraint& constraint);
void expect_mapping(const ConfigNode& node, const Constraint& constraint);
[[noreturn]] void fail_missing(const ConfigNode& mapping, std::string_view key, std::string_view help);
/// Of an item of a list or map: the bounds and choices, not those that speak of the list.
Constraint item_constraint(Constraint constraint);

ConfigValue write_integer(int64_t value);
ConfigValue write_unsigned(uint64_t value);
ConfigValue write_double(double value);
ConfigValue write_float(float value);
ConfigValue write_path(const ConfigPath& path);

struct IgnoreFields {
  template <class... Arguments>
  void operator()(Arguments&&...) {}
};

template <class T>
concept has_fields = requires(T& value, IgnoreFields& visit) {
  T::fields(value, visit);
};
template <class T>
concept has_check = requires(const T& value, const ConfigNode& node) {
  value.check(node);
};
template <class T>
concept has_from_config = requires(const T& value, const ConfigNode& node) {
  { T::from_config(node) } -> std::same_as<T>;
  { value.to_config() } -> std::same_as<ConfigValue>;
};

template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};
template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};
template <class T>
struct is_string_map : std::false_type {};
template <class T>
struct is_string_map<std::map<std::string, T>> : std::true_type {};
template <class T>
inline constexpr bool unsupported = false;

/// Collects the names, so that a misspelt key is reported before a missing one.
struct FieldNames {
  std::vector<std::string> names;
  template <class T, class... Rest>
  void operator()(std::string_view name, T&, const Rest&...) {
    names.emplace_back(name);
  }
};

}  // namespace detail

/// The value of `node` as T. Throws ConfigError.
template <class T>
T read_config(const ConfigNode& node, const Constraint& constraint = {});

template <class T>
T read_config(const ConfigDocument& document) {
  return read_config<T>(document.root());
}

/// The tree that `value` is written as; every field, defaults included.
template <class T>
ConfigValue write_config(const T& value);

namespace detail {

template <class T>
void read_fields(const ConfigNode& node, T& value);

struct FieldReader {
  const ConfigNode& mapping;

  template <class T>
  void operator()(std::string_view name, T& value, std::string_view help) {
    (*this)(name, value, Constraint{}, help);
  }
  template <class T>
  void operator()(std::string_view name, T& value, const Constraint& constraint, std::string_view help) {
    if (mapping.has(name)) {
      if constexpr (has_fields<T> && !has_from_config<T>) {
        read_fields(mapping.at(name), value);  // what is not given keeps the outer struct's default
      } else {
        value = read_config<T>(mapping.at(name), constraint);
      }
    } else if (constraint.is_needed) {
      fail_missing(mapping, name, help);
    }
  }
};

struct FieldWriter {
  ConfigValue& mapping;

  template <class T>
  void operator()(std::string_view name, const T& value, std::string_view help) {
    mapping.set(std::string(name), write_config(value), std::string(help));
  }
  template <class T>
  void operator()(std::string_view name, const T& value, const Constraint&, std::string_view help) {
    (*this)(name, value, help);
  }
};

template <class T>
void read_fields(const ConfigNode& node, T& value) {
  FieldNames names;
  T::fields(value, names);
  // A key with nothing behind it leaves all defaults.
  if (!node.is_null()) {
    node.refuse_unknown_keys(names.names);
  }
  FieldReader reader{node};
  T::fields(value, reader);
  if constexpr (has_check<T>) {
    value.check(node);
  }
}

}  // namespace detail

template <class T>
T read_config(const ConfigNode& node, const Constraint& constraint) {
  if constexpr (detail::has_from_config<T>) {
    return T::from_config(node);
  } else if constexpr (std::is_same_v<T, bool>) {
    return detail::read_bool(node);
  } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    return static_cast<T>(
        detail::read_integer(node, std::numeric_limits<T>::min(), std::numeric_limits<T>::max(), constraint));
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(detail::read_unsigned(node, std::numeric_limits<T>::max(), constraint));
  } else if constexpr (std::is_same_v<T, float>) {
    return detail::read_float(node, constraint);
  } else if constexpr (std::is_same_v<T, double>) {
    return detail::read_double(node, constraint);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return detail::read_string(node, constraint);
  } else if constexpr (std::is_same_v<T, ConfigPath>) {
    return detail::read_path(node, constraint);
  } else if constexpr (detail::is_optional<T>::value) {
    if (node.is_null()) {
      return std::nullopt;
    }
    return read_config<typename T::value_type>(node, constraint);
  } else if constexpr (detail::is_vector<T>::value) {
    detail::expect_sequence(node, constraint);
    T items;
    items.reserve(node.size());
    for (std::size_t i = 0; i < node.size(); ++i) {
      items.push_back(read_config<typename T::value_type>(node.item(i), detail::item_constraint(constraint)));
    }
    return items;
  } else if constexpr (detail::is_string_map<T>::value) {
    detail::expect_mapping(node, constraint);
    T entries;
    for (const std::string& key : node.keys()) {
      entries.emplace(
          key, read_config<typename T::mapped_type>(node.at(key), detail::item_constraint(constraint)));
    }
    return entries;
  } else if constexpr (detail::has_fields<T>) {
    T value{};
    detail::read_fields(node, value);
    return value;
  } else {
    static_assert(detail::unsupported<T>, "config field type: see the list in core/config.h");
  }
}

template <class T>
ConfigValue write_config(const T& value) {
  if constexpr (detail::has_from_config<T>) {
    return value.to_config();
  } else if constexpr (std::is_same_v<T, bool>) {
    return ConfigValue::scalar(value ? "true" : "false");
  } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    return detail::write_integer(value);
  } else if constexpr (std::is_integral_v<T>) {
    return detail::write_unsigned(value);
  } else if constexpr (std::is_same_v<T, float>) {
    return detail::write_float(value);
  } else if constexpr (std::is_same_v<T, double>) {
    return detail::write_double(value);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return ConfigValue::string(value);
  } else if constexpr (std::is_same_v<T, ConfigPath>) {
    return detail::write_path(value);
  } else if constexpr (detail::is_optional<T>::value) {
    return value ? write_config(*value) : ConfigValue{};
  } else if constexpr (detail::is_vector<T>::value) {
    ConfigValue list = ConfigValue::sequence();
    for (const auto& item : value) {
      list.items.push_back(write_config<typename T::value_type>(item));
    }
    return list;
  } else if constexpr (detail::is_string_map<T>::value) {
    ConfigValue map = ConfigValue::mapping();
    for (const auto& [key, item] : value) {
      map.set(key, write_config(item));
    }
    return map;
  } else if constexpr (detail::has_fields<T>) {
    ConfigValue map = ConfigValue::mapping();
    detail::FieldWriter writer{map};
    T::fields(value, writer);
    return map;
  } else {
    static_assert(detail::unsupported<T>, "config field type: see the list in core/config.h");
  }
}

/// The resolved config as YAML: read_config of it gives an equal value.
template <class T>
requires(!std::same_as<T, ConfigValue>) std::string to_yaml(const T& config) {
  return to_yaml(write_config(config));
}

/// SHA-256 of the resolved values, 64 letters; the same for configs that mean the same, however they were
/// written.
std::string config_sha256(const ConfigValue& resolved);
template <class T>
requires(!std::same_as<T, ConfigValue>) std::string config_sha256(const T& config) {
  return config_sha256(write_config(config));
}

/// One value of a resolved config and where it comes from.
struct DescribedValue {
  std::string path;    ///< "evolution.population"
  std::string value;   ///< as YAML, on one line
  std::string origin;  ///< "file:line", "command line" or "default"
  std::string help;
};

std::vector<DescribedValue> describe(const ConfigValue& resolved, const ConfigDocument& document);

/// Every value of T as read from `document`, in the order of the fields. Throws ConfigError as read_config
/// does.
template <class T>
std::vector<DescribedValue> describe(const ConfigDocument& document) {
  return describe(write_config(read_config<T>(document)), document);
}

/// As aligned lines `path = value   # origin`.
std::string to_text(const std::vector<DescribedValue>& values);

}  // namespace namm
