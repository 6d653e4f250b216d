#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "tasks/text/unicode.h"

namespace namm::tasks {

/// The characters that the hidden Markov model knows, and that make up Chinese words for jieba.
inline constexpr char32_t first_han = 0x4E00, last_han = 0x9FD5;
constexpr bool is_han(char32_t c) {
  return c >= first_han && c <= last_han;
}

/// jieba's `finalseg`: a hidden Markov model finds words that are in no dictionary. A character begins a
/// word (B), ends one (E), stands inside (M) or alone (S); natural logarithms (benchmarks 2.8).
class WordHmm {
 public:
  /// Reads the dictionary literals of prob_start.py, prob_trans.py and prob_emit.py. Throws DataError
  /// (file:line, or the file and what is wrong with it).
  static WordHmm load(const std::filesystem::path& folder);

  /// Appends the words of a text of Han characters only (is_han), as views into it, on the likeliest path.
  void cut(TextView text, std::vector<TextView>& words) const;

  static constexpr size_t states = 4;  ///< in the order of their letters: B E M S

  /// Characters that the file has for each state, other scripts' included.
  const std::array<int64_t, states>& emissions() const { return emissions_; }

 private:
  using StateValues = std::array<double, states>;

  WordHmm();

  StateValues start_;
  std::array<StateValues, states> transition_;  // [from][to]
  std::vector<StateValues> emission_;           // [character - first_han]
  std::array<int64_t, states> emissions_{};
};

}  // namespace namm::tasks
