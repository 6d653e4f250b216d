#pragma once

#include <array>
#include <atomic>
#include <string>
#include <unordered_map>

#include "models/tokenizer.h"
#include "models/tokenizers/splitter.h"

namespace namm::models {

/// Byte-level byte-pair encoding as GPT-2, SmolLM and Llama 3 use it. Gives the ids of the library
/// `tokenizers`: added tokens first, then pieces by the splitting rule, then the lowest-ranked merge of each
/// piece until none is left.
///
/// A byte without a token is dropped, as there (SmolLM2 has none for 21 of the 256 bytes); dropped bytes are
/// counted and the first are reported once. Unlike there, added tokens decode to their own text whatever
/// letters they hold.
class ByteLevelBpe : public Tokenizer {
 public:
  /// data: {"pre": splitting rule, "ignore_merges": bool, "vocabulary": [text in GPT-2's byte letters, or
  /// null], "merges": [left, right, result, ...] ids in order of rank, "added": [{"id", "text", "special"}]}.
  /// Throws std::invalid_argument or a JSON exception where that does not hold together.
  ByteLevelBpe(const nlohmann::json& data, std::vector<int64_t> prefix, int64_t vocabulary);

  std::vector<int64_t> encode_wrapped(std::string_view before, std::string_view text,
                                      std::string_view after) const override;
  std::string decode(const std::vector<int64_t>& ids, bool skip_special) const override;
  std::vector<int64_t> prefix() const override { return prefix_; }
  int64_t vocabulary_size() const override { return vocabulary_; }

  /// Bytes without a token met by all `encode` calls so far.
  int64_t dropped_bytes() const { return dropped_bytes_; }

 private:
  struct Merge {
    int32_t rank;
    int32_t result;
  };
  struct AddedToken {
    std::string text;
    int64_t id;
    bool special;
  };
  struct Symbol {
    int32_t id;  // -1: merged into its left neighbour
    int32_t previous, next;
  };

  const AddedToken* added_token_at(std::string_view text, std::size_t place, bool with_special) const;
  void encode_plain(std::string_view text, std::vector<int64_t>& ids) const;
  void encode_piece(std::string_view piece, std::vector<int64_t>& ids) const;
  void merge(std::vector<Symbol>& symbols) const;
  const Merge* find_merge(int32_t left, int32_t right) const;
  void report_dropped(std::string_view piece, int64_t count) const;

  Splitter splitter_;
  bool ignore_merges_ = false;
  std::vector<std::string> texts_;  // bytes of each id
  std::vector<bool> is_special_;
  std::array<int32_t, 256> byte_ids_{};
  std::unordered_map<uint64_t, Merge> merges_;             // key: left << 32 | right
  std::unordered_map<std::string, int64_t> whole_pieces_;  // filled where ignore_merges
  std::vector<AddedToken> added_;                          // longest first among those with one first byte
  std::array<std::pair<int32_t, int32_t>, 256> added_range_{};  // of added_, by first byte
  int64_t vocabulary_ = 0;
  std::vector<int64_t> prefix_;
  mutable std::atomic<int64_t> dropped_bytes_{0};
};

}  // namespace namm::models
