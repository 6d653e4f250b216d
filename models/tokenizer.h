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

  /// As `text` + `after` of encode_wrapped, where `text` goes on behind ids that were read before.
  virtual std::vector<int64_t> encode_continued(std::string_view text, std::string_view after) const {
    return encode_wrapped({}, text, after);
  }

  std::vector<int64_t> encode(std::string_view text) const final { return encode_wrapped({}, text, {}); }
  std::vector<int64_t> encode_continued(std::string_view text) const final {
    return encode_continued(text, {});
  }

  /// The text of all ids, spaces cleaned up where that is switched on.
  std::string decode(const std::vector<int64_t>& ids, bool skip_special = true) const override;

  /// Adds to `text` what `id` stands for behind the ids before it; a special token gives nothing when
  /// `skip_special`. `begun` is the caller's, false before the first id: the text has begun. Throws DataError
  /// on an id out of range.
  virtual void decode_next(int64_t id, bool skip_special, bool& begun, std::string& text) const = 0;

  /// Whether decoded text loses the spaces of SpaceCleanUp (off at first).
  bool cleans_up_spaces() const { return cleans_up_spaces_; }
  void clean_up_spaces(bool on) { cleans_up_spaces_ = on; }

 protected:
  /// Throws DataError for an id out of range.
  void require_id(int64_t id) const;

 private:
  bool cleans_up_spaces_ = false;
};

/// Makes the tokenizer that a contract names from its data inside the archive.
///   settings: the contract's `tokenizer` object, {"kind": "words" | "byte-level-bpe" | "sentencepiece-bpe",
///   "prefix_ids": [...]} and, where true, "clean_up_tokenization_spaces" (decoded text loses spaces before
///   punctuation) and "chat_after_prefix" (a chat form stands behind the prefix ids, it begins no text);
///   data: bytes of the archive's extra file `namm_tokenizer.json`; vocabulary: ids that the model knows;
///   where: the archive's path, for errors. Throws DataError; an unknown kind is answered with the list of
///   known ones.
std::unique_ptr<Tokenizer> make_tokenizer(const nlohmann::json& settings, const std::string& data,
                                          int64_t vocabulary, const std::string& where);

}  // namespace namm::models
