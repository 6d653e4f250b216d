#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evolution/named_array.h"

/// What the optimisers share.
namespace namm::evolution {

/// Fills `values` with the standard normal draws of (seed, generation, member).
void draw_normals(uint64_t seed, int64_t generation, int64_t member, std::span<double> values);

/// Throws std::invalid_argument, naming `who`, unless there is one value a member.
void check_fitness_size(const char* who, std::span<const double> fitness, int64_t population);

/// Values that are NaN or infinite.
int64_t count_non_finite(std::span<const double> values);
bool all_finite(std::span<const double> values);

double squared_length(std::span<const double> values);

/// path <- (1 - rate) path + sqrt(rate (2 - rate) mu_eff) step: the variance of a path whose steps are
/// standard normal stays 1.
void follow_path(double rate, double mu_eff, std::span<const double> step, std::span<double> path);

/// The text of Optimizer::alarm().
std::optional<std::string> sigma_alarm(double sigma, double sigma_0);

/// Throws DataError unless the saved "population" and the length of "mean" are these.
void check_saved_size(const NamedArrays& arrays, int64_t dimension, int64_t population);

}  // namespace namm::evolution
