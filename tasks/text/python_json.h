#pragma once

#include <string>
#include <string_view>

#include "tasks/text/unicode.h"

namespace namm::tasks {

/// JSON text in which every escaped half of a surrogate pair that stands alone (\ud800 without its partner)
/// is replaced by a private-use character of its own. Python accepts such halves as characters, strict
/// parsers do not; for the metrics both are one character that is no letter, digit or space.
std::string without_lone_surrogates(std::string_view json);

/// Whether a text that was read so holds such a stand-in: the last 2,048 code points of plane 16, which no
/// real text uses. For functions that raise in Python for a text that cannot be encoded.
bool has_lone_surrogate(TextView text);

}  // namespace namm::tasks
