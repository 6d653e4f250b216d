#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace namm::models {

/// The merges of a byte-pair encoding: which neighbouring tokens become one, the lowest rank first, of equal
/// ranks the leftmost.
class PairMerges {
 public:
  /// `left` and `right` become `result`. A pair that is added twice has the later rank, as in the library
  /// `tokenizers`.
  void add(int32_t left, int32_t right, int32_t rank, int32_t result);

  /// Every pair of tokens whose joined text is a token merges into it.
  ///   texts: token -> id of all that take part; rank: of each id that a merge may give, none where none may.
  void add_joined(const std::unordered_map<std::string, int32_t>& texts,
                  const std::function<std::optional<int32_t>(int32_t id)>& rank);

  /// Merges within `ids` until no pair is left, in n log n.
  void apply(std::vector<int32_t>& ids) const;

 private:
  struct Merge {
    int32_t rank, result;
  };
  struct Symbol {
    int32_t id;  // -1: merged into its left neighbour
    int32_t previous, next;
  };
  const Merge* find(int32_t left, int32_t right) const;

  std::unordered_map<uint64_t, Merge> merges_;  // key: left << 32 | right
};

}  // namespace namm::models
