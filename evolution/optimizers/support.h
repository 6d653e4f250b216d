#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "evolution/named_array.h"

/// What the optimisers share.
namespace namm::evolution {

/// Fills `values` with the standard normal draws of (seed, generation, member).
void draw_normals(uint64_t seed, int64_t generation, int64_t member, std::span<double> values);

/// The text of Optimizer::alarm().
std::optional<std::string> sigma_alarm(double sigma, double sigma_0);

/// Throws DataError unless the saved "population" and the length of "mean" are these.
void check_saved_size(const NamedArrays& arrays, int64_t dimension, int64_t population);

}  // namespace namm::evolution
