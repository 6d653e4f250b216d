#pragma once

#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "core/token_codec.h"

namespace namm::models {

/// Makes the tokenizer that a contract names from its data inside the archive.
///   settings: the contract's `tokenizer` object, {"kind": "words" | "byte-level-bpe", ...}; data: bytes of the archive's
///   extra file `namm_tokenizer.json`; where: the archive's path, for errors. Throws DataError; an unknown kind is answered
///   with the list of known ones.
std::unique_ptr<TokenCodec> make_tokenizer(const nlohmann::json& settings, const std::string& data, const std::string& where);

}  // namespace namm::models
