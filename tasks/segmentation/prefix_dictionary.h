#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "tasks/text/unicode.h"

namespace namm::tasks {

/// Words with their frequencies, and every beginning of a word: what jieba's `gen_pfdict` makes of its
/// `dict.txt` (benchmarks 2.8). A tree over code points in one flat hash table; it never changes once loaded.
class PrefixDictionary {
 public:
  using Node = uint32_t;  ///< a beginning of a word
  static constexpr Node root = 0, none = UINT32_MAX;

  /// Reads lines "word frequency" or "word frequency tag" in UTF-8. A word on two lines has the frequency of
  /// the later one; the total counts both. Throws DataError (file:line) for any other line, and for a file
  /// without a word of positive frequency.
  static PrefixDictionary load(const std::filesystem::path& file);

  /// The beginning one character longer, `none` where no word goes on so. `node` is not `none`.
  Node child(Node node, char32_t character) const {
    const uint64_t key = key_of(node, character);
    for (size_t i = slot_of(key);; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].node == root) return none;
      if (slots_[i].key == key) return slots_[i].node;
    }
  }

  /// The node of a whole text, `none` if no word begins with it.
  Node find(TextView text) const;

  /// Whether the beginning is itself a word with a frequency above 0.
  bool is_word(Node node) const { return log_probability_[node] != not_a_word; }

  /// log(frequency) - log(total) of a word, natural logarithm.
  double log_probability(Node word) const { return log_probability_[word]; }

  /// The same of a character that is no word: it counts as seen once.
  double unknown_log_probability() const { return unknown_log_probability_; }

  int64_t words() const { return words_; }                 ///< different words of the file
  int64_t beginnings() const { return nodes() - words_; }  ///< of words, not words themselves
  uint64_t total_frequency() const { return total_; }      ///< sum over all lines

 private:
  struct Slot {
    uint64_t key = 0;
    Node node = root;  // root: empty
  };

  static constexpr double not_a_word = 1;  // logarithms of probabilities are not positive

  static uint64_t key_of(Node node, char32_t character) { return uint64_t{node} << 32 | character; }
  size_t slot_of(uint64_t key) const { return (key * 0x9E3779B97F4A7C15u) >> shift_; }
  int64_t nodes() const { return std::ssize(log_probability_) - 1; }  // root left out

  PrefixDictionary();
  Node add_child(Node node, char32_t character);
  void grow();

  std::vector<Slot> slots_;  // a power of two, at most half full, linear probing
  int shift_;                // 64 - log2(slots)
  std::vector<double> log_probability_;
  double unknown_log_probability_ = 0;
  int64_t words_ = 0;
  uint64_t total_ = 0;
};

}  // namespace namm::tasks
