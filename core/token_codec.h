#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace namm {

/// Text to token ids and back. Implemented by `models` (tokenizers), used by `tasks`, which know no model.
class TokenCodec {
 public:
  virtual ~TokenCodec() = default;

  /// Ids of `text`, any bytes; no special tokens are added.
  virtual std::vector<int64_t> encode(std::string_view text) const = 0;

  /// Ids of `text` that goes on behind other ids: what a tokenizer puts where a text begins (SentencePiece a
  /// blank) is left out.
  virtual std::vector<int64_t> encode_continued(std::string_view text) const { return encode(text); }

  /// Text of `ids`; ids of special tokens give nothing when `skip_special`. Throws DataError on an id out of
  /// range.
  virtual std::string decode(const std::vector<int64_t>& ids, bool skip_special = true) const = 0;

  /// Ids put before a prompt (BOS where the tokenizer's own setting says so), may be empty.
  virtual std::vector<int64_t> prefix() const = 0;

  virtual int64_t vocabulary_size() const = 0;
};

}  // namespace namm
