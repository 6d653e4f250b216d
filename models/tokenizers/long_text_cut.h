#pragma once

#include <functional>
#include <string_view>

namespace namm::models {

/// Calls `part` for the parts into which Llama 3's own tokenizer cuts a text before its splitting rule sees
/// it: after every 400,000 letters, and within those after every 25,000 letters in a row that are all white
/// space or all none. No pair merges across.
void cut_long_text(std::string_view text, const std::function<void(std::string_view)>& part);

}  // namespace namm::models
