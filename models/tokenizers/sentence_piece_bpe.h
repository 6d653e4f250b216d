#pragma once

#include <array>
#include <string>
#include <unordered_map>
#include <vector>

#include "models/tokenizer.h"
#include "models/tokenizers/added_tokens.h"
#include "models/tokenizers/pair_merges.h"

namespace namm::models {

/// Byte-pair encoding as SentencePiece has it for Llama 2 and Mistral: over letters, blanks written as
/// U+2581, one of them put before the text; letters that are no pieces fall back to bytes. Gives the ids of
/// the library `sentencepiece`, or those of `tokenizers` where the data has its list of merges.
///
/// Unlike there, bytes that are no UTF-8 become byte pieces, so that they come back.
class SentencePieceBpe : public Tokenizer {
 public:
  /// data: {"pieces": [text or null], "types": numbers of SentencePiece's model file, one a piece, and either
  /// "scores": one a piece, or "merges": [left, right, result, ...] ids in order of rank; "blank": where one
  /// is put before a text, by its name in Blank; "strips_blank": bool, decoding drops one blank at the start;
  /// "added": as AddedTokens reads it}. `chat_after_prefix`: a chat form does not begin a text.
  /// Throws std::invalid_argument or a JSON exception where that does not hold together.
  SentencePieceBpe(const nlohmann::json& data, std::vector<int64_t> prefix, int64_t vocabulary,
                   bool chat_after_prefix = false);

  std::vector<int64_t> encode_wrapped(std::string_view before, std::string_view text,
                                      std::string_view after) const override;
  using Tokenizer::encode_continued;
  std::vector<int64_t> encode_continued(std::string_view text, std::string_view after) const override;
  void decode_next(int64_t id, bool skip_special, bool& begun, std::string& text) const override;
  std::vector<int64_t> prefix() const override { return prefix_; }
  int64_t vocabulary_size() const override { return vocabulary_; }

 private:
  /// Where a blank is put: before every text between added tokens (SentencePiece's own rule, in
  /// `transformers` legacy = true); the same unless a blank is there; only where the whole text begins,
  /// unless a blank is there (legacy = false); nowhere.
  enum class Blank { each, each_unless_there, first_unless_there, none };
  static Blank blank_of(const std::string& name);

  void read_pieces(const nlohmann::json& data);
  void read_merges(const nlohmann::json& data);
  void read_added(const nlohmann::json& data);
  /// What lies before the text that is encoded: nothing; a prefix, behind which a chat form begins no text;
  /// a text that goes on.
  enum class Before { nothing, prefix, text };
  std::vector<int64_t> encode_parts(std::string_view before, std::string_view text, std::string_view after,
                                    Before lies) const;
  bool takes_blank(bool has_one, bool at_start, Before lies) const;
  void encode_plain(std::string_view text, bool at_start, Before lies, std::vector<int64_t>& ids) const;
  void encode_run(std::string_view text, std::vector<int64_t>& ids) const;
  void add_bytes(std::string_view bytes, std::vector<int32_t>& symbols) const;

  Blank blank_ = Blank::each;
  bool strips_blank_ = true;
  bool chat_after_prefix_ = false;
  std::vector<std::string> pieces_;  // as in the data; behind them letters of pieces that are none
  std::vector<std::string> texts_;   // what each id decodes to
  std::vector<int32_t> types_;
  std::vector<bool> is_special_;
  std::unordered_map<std::string, int32_t> ids_;  // of ordinary pieces and of the letters behind them
  std::array<int32_t, 256> byte_ids_{};
  PairMerges merges_;
  AddedTokens user_defined_;  // pieces that are found first and never merge
  AddedTokens added_;
  int64_t vocabulary_ = 0;
  std::vector<int64_t> prefix_;
};

}  // namespace namm::models
