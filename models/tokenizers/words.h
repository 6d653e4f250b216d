#pragma once

#include <string>
#include <unordered_map>

#include "models/tokenizer.h"

namespace namm::models {

/// Words separated by single spaces, and 256 byte tokens for everything else: the tokenizer of the shipped
/// small model.
///
/// A run of non-white-space (ASCII) becomes a word token where it is a word and stands at the start of the
/// text or after a space that no other token has; decoding writes that space before every word but the first.
/// All other bytes are byte tokens, so decode(encode(text)) == text for any bytes.
class WordTokenizer : public Tokenizer {
 public:
  /// data: {"words": [...], "special": [ids], "byte_base": id of byte 0}. Throws std::invalid_argument or a
  /// JSON exception where that does not hold together.
  WordTokenizer(const nlohmann::json& data, std::vector<int64_t> prefix, int64_t vocabulary);

  std::vector<int64_t> encode_wrapped(std::string_view before, std::string_view text,
                                      std::string_view after) const override;
  void decode_next(int64_t id, bool skip_special, bool& begun, std::string& text) const override;
  std::vector<int64_t> prefix() const override { return prefix_; }
  int64_t vocabulary_size() const override { return vocabulary_; }

 private:
  std::vector<std::string> words_;
  std::vector<bool> is_special_;
  std::unordered_map<std::string, int64_t> ids_;
  std::size_t longest_ = 0;
  int64_t byte_base_ = 0;
  int64_t vocabulary_ = 0;
  std::vector<int64_t> prefix_;
};

}  // namespace namm::models
