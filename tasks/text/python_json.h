#pragma once

#include <string>
#include <string_view>

namespace namm::tasks {

/// JSON text in which every escaped half of a surrogate pair that stands alone (\ud800 without its partner)
/// is replaced by a private-use character of its own. Python accepts such halves as characters, strict
/// parsers do not; for the metrics both are one character that is no letter, digit or space.
std::string without_lone_surrogates(std::string_view json);

}  // namespace namm::tasks
