#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace namm::tasks {

using WordId = int32_t;
using WordIds = std::vector<WordId>;

/// Finds the longest common subsequence that a trace-back through the standard table of lengths L finds: from
/// both ends, equal words are taken; of unequal ones the last of `a` is left out if L(without it) >
/// L(without the last of `b`), else the last of `b`. The table is kept as one bit a pair (Hyyro 2004,
/// "Bit-parallel LCS-length computation revisited"): bit (i, j) says whether L(i, j) > L(i, j - 1), which is
/// all that the trace-back asks.
class CommonSubsequence {
 public:
  /// `distinct_words`: word ids are below it.
  explicit CommonSubsequence(size_t distinct_words) : last_place_(distinct_words, nowhere) {}

  /// Appends the places in `b` of the common words to `places`, last first, and gives true; or gives false
  /// when the trace-back takes `limit` steps or more (0: no limit). Memory: one bit for every pair among the
  /// last `limit` words of `a`. Throws DataError when that is more than 128 MiB.
  bool trace(std::span<const WordId> a, std::span<const WordId> b, int64_t limit,
             std::vector<size_t>& places);

 private:
  static constexpr int32_t nowhere = -1;

  void fill_table(std::span<const WordId> a, std::span<const WordId> b, size_t first_row);

  std::vector<int32_t> last_place_;      ///< by word: its last place in b
  std::vector<int32_t> previous_place_;  ///< by place in b: the place of the same word before
  std::vector<uint64_t> row_;            ///< of the table: bit j is 0 where L grows at word j of b
  std::vector<uint64_t> rows_;           ///< of all rows that are kept
};

}  // namespace namm::tasks
