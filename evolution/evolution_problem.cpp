#include "evolution/evolution_problem.h"

#include <stdexcept>

namespace namm::evolution {

NamedArrays EvolutionProblem::merge_calibration(std::span<const WorkResult> results) const {
  if (!results.empty()) {
    throw std::logic_error("a problem with calibration samples must override merge_calibration");
  }
  return {};
}

std::string EvolutionProblem::shared_bytes(Purpose, const NamedArrays& statistics) const {
  return encode(statistics);
}

}  // namespace namm::evolution
