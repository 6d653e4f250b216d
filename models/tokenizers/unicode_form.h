#pragma once

#include <string>
#include <string_view>

namespace namm::models {

/// `text` in Unicode's normal form C, by the tables of the library `tokenizers` (Unicode 9: letters that came
/// later stay as they are and where they are). Bytes that are not valid UTF-8 are kept. Time grows with
/// n log n whatever the text.
std::string normal_form_c(std::string_view text);

}  // namespace namm::models
