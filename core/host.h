#pragma once

#include <string>

namespace namm {

/// Of this machine; "unknown" where it does not say.
std::string host_name();

}  // namespace namm
