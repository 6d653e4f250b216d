#pragma once

#include <string_view>

namespace namm::tasks {

/// tests/data/haystack/haystack.txt, compiled in: about 30 kB of plain English, written for this project.
std::string_view default_haystack();

}  // namespace namm::tasks
