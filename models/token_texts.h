#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/token_codec.h"

namespace namm::models {

/// The bytes that each id adds behind the one before it (a tokenizer of words adds a space); special tokens
/// have their own text. Together they are the text of all ids.
std::vector<std::string> token_texts(const TokenCodec& codec, const std::vector<int64_t>& ids);

}  // namespace namm::models
