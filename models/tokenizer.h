#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/token_codec.h"

namespace namm::models {

/// A codec that can also write a template's special tokens. `encode` never does: what a user types stays
/// text.
class Tokenizer : public TokenCodec {
 public:
  /// Ids of `before` + `text` + `after` as one text, special tokens being recognised where they lie inside
  /// `before` or `after`, never in `text` (a chat template around a message).
  virtual std::vector<int64_t> encode_wrapped(std::string_view before, std::string_view text,
                                              std::string_view after) const = 0;

  std::vector<int64_t> encode(std::string_view text) const override { return encode_wrapped({}, text, {}); }
};

/// Makes the tokenizer that a contract names from its data inside the archive.
///   settings: the contract's `tokenizer` object, {"kind": "words" | "byte-level-bpe", "prefix_ids": [...]};
///   data: bytes of the archive's extra file `namm_tokenizer.json`; vocabulary: ids that the model knows;
///   where: the archive's path, for errors. Throws DataError; an unknown kind is answered with the list of
///   known ones.
std::unique_ptr<Tokenizer> make_tokenizer(const nlohmann::json& settings, const std::string& data,
                                          int64_t vocabulary, const std::string& where);

}  // namespace namm::models
