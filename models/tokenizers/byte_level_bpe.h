#pragma once

#include <array>
#include <atomic>
#include <string>
#include <unordered_map>

#include "models/tokenizer.h"
#include "models/tokenizers/added_tokens.h"
#include "models/tokenizers/pair_merges.h"
#include "models/tokenizers/splitter.h"

namespace namm::models {

/// Byte-level byte-pair encoding as GPT-2, SmolLM, Llama 3 and Qwen2 use it. Gives the ids of the library
/// `tokenizers`: added tokens first, then the normal form where the data names one, then pieces by the
/// splitting rule, then the lowest-ranked merge of each piece until none is left.
///
/// A byte without a token is dropped, as there (SmolLM2 has none for 21 of the 256 bytes); dropped bytes are
/// counted and the first are reported once. Unlike there, added tokens decode to their own text whatever
/// letters they hold.
class ByteLevelBpe : public Tokenizer {
 public:
  /// data: {"pre": splitting rule, "normalizer": "nfc" (left out: none), "ignore_merges": bool, "vocabulary":
  /// [text in GPT-2's byte letters, or null], "merges": [left, right, result, ...] ids in order of rank, or
  /// "by_rank" (tiktoken: two tokens merge where their joined bytes are a token, whose id is the rank; with
  /// ignore_merges), "long_text_cut": whether cut_long_text comes first (left out: no), "added": as
  /// AddedTokens reads it}.
  /// Throws std::invalid_argument or a JSON exception where that does not hold together.
  ByteLevelBpe(const nlohmann::json& data, std::vector<int64_t> prefix, int64_t vocabulary);

  std::vector<int64_t> encode_wrapped(std::string_view before, std::string_view text,
                                      std::string_view after) const override;
  void decode_next(int64_t id, bool skip_special, bool& begun, std::string& text) const override;
  std::vector<int64_t> prefix() const override { return prefix_; }
  int64_t vocabulary_size() const override { return vocabulary_; }

  /// Bytes without a token met by all `encode` calls so far.
  int64_t dropped_bytes() const { return dropped_bytes_; }

 private:
  void read_vocabulary(const nlohmann::json& entries);
  void read_merges(const nlohmann::json& merges);
  void read_added(const nlohmann::json& data);
  void encode_piece(std::string_view piece, std::vector<int64_t>& ids) const;
  void report_dropped(std::string_view piece, int64_t count) const;

  Splitter splitter_;
  bool ignore_merges_ = false;
  bool long_text_cut_ = false;
  std::vector<std::string> texts_;  // bytes of each id
  std::vector<bool> is_special_;
  std::array<int32_t, 256> byte_ids_{};
  PairMerges merges_;
  std::unordered_map<std::string, int32_t> whole_pieces_;  // filled where ignore_merges
  AddedTokens added_;
  int64_t vocabulary_ = 0;
  std::vector<int64_t> prefix_;
  mutable std::atomic<int64_t> dropped_bytes_{0};
};

}  // namespace namm::models
