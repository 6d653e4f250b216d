#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/tokenizer.h"

namespace namm::models {

/// The bytes that each id adds behind the one before it (a tokenizer of words adds a space); special tokens
/// have their own text. Together they are the text of all ids, before any spaces are cleaned up.
std::vector<std::string> token_texts(const Tokenizer& tokenizer, const std::vector<int64_t>& ids);

}  // namespace namm::models
