#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "core/config_value.h"

// Internal to core: YAML text to a tree, before bases and overrides.
namespace namm {

inline constexpr std::size_t max_config_bytes = std::size_t{4} << 20;
inline constexpr std::size_t max_config_depth = 100;
inline constexpr std::size_t max_config_values = 100'000;

/// `values` counts the values of a whole load; aliases count in full. Throws ConfigError with the place.
ConfigValue parse_yaml(std::string_view text, const std::shared_ptr<const ConfigOrigin::Source>& source,
                       std::size_t& values);

}  // namespace namm
