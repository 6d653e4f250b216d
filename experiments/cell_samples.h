#pragma once

#include <string>
#include <vector>

#include "experiments/table.h"

namespace namm::experiments {

/// The samples behind one number: `cell` is "POLICY:TASK". Throws ConfigError with the list of what there is.
std::string explain_cell(const std::vector<RunResults>& runs, const std::string& cell);

}  // namespace namm::experiments
