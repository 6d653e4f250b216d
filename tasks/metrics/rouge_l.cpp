#include "tasks/metrics/rouge_l.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/errors.h"

namespace namm::tasks {
namespace {

using Word = int32_t;
using Sentence = std::vector<Word>;

/// Gives every distinct word a number.
class Dictionary {
 public:
  Word number(const Text& word) {
    return words_.try_emplace(word, static_cast<Word>(words_.size())).first->second;
  }

 private:
  std::map<Text, Word> words_;
};

/// Pieces between ASCII full stops. A piece of white space only is a sentence of one empty word, as in the
/// package.
std::vector<Sentence> sentences(TextView text, Dictionary& dictionary) {
  std::vector<Sentence> result;
  for (const Text& piece : split(text, U'.')) {
    if (piece.empty()) continue;
    std::vector<Text> words = split_on_space(piece);
    if (words.empty()) words.emplace_back();
    Sentence& sentence = result.emplace_back();
    for (const Text& word : words) sentence.push_back(dictionary.number(word));
  }
  return result;
}

size_t distinct_words(const std::vector<Sentence>& text) {
  std::set<Word> words;
  for (const Sentence& sentence : text) words.insert(sentence.begin(), sentence.end());
  return words.size();
}

/// Where the trace-back goes from a pair of different words, kept for the last rows and columns only: as many
/// as a trace-back of `limit` steps can reach. One bit a pair.
class DirectionTable {
 public:
  DirectionTable(const Sentence& gold, const Sentence& prediction, int64_t limit) {
    const size_t rows = gold.size() + 1, columns = prediction.size() + 1;
    const size_t reach = limit > 0 ? static_cast<size_t>(limit) + 1 : std::max(rows, columns);
    first_row_ = rows - std::min(rows, reach);
    first_column_ = columns - std::min(columns, reach);
    stride_ = columns - first_column_;
    if ((rows - first_row_) > largest_table / stride_) {
      throw DataError("ROUGE-L of texts of " + std::to_string(rows - 1) + " and " +
                      std::to_string(columns - 1) +
                      " words without recursion limit needs too much memory: leave the limit on");
    }
    up_.resize((rows - first_row_) * stride_);
    // Lengths of longest common subsequences of prefixes.
    std::vector<int32_t> above(columns, 0), row(columns, 0);
    for (size_t i = 1; i < rows; ++i) {
      std::swap(above, row);
      for (size_t j = 1; j < columns; ++j) {
        row[j] = gold[i - 1] == prediction[j - 1] ? above[j - 1] + 1 : std::max(above[j], row[j - 1]);
      }
      for (size_t j = std::max<size_t>(1, first_column_); i >= first_row_ && j < columns; ++j) {
        up_[index(i, j)] = above[j] > row[j - 1];
      }
    }
  }

  /// Up: the last word of the gold prefix is left out, not that of the prediction's.
  bool goes_up(size_t i, size_t j) const { return up_[index(i, j)]; }

 private:
  static constexpr size_t largest_table = size_t{1} << 30;  // bits

  size_t index(size_t i, size_t j) const { return (i - first_row_) * stride_ + (j - first_column_); }

  size_t first_row_, first_column_, stride_;
  std::vector<bool> up_;
};

/// Adds the words of one longest common subsequence, the one that the package's trace-back finds. False when
/// the trace-back takes `limit` steps or more.
bool add_common_subsequence(const Sentence& gold, const Sentence& prediction, int64_t limit,
                            std::set<Word>& words) {
  // Every step lowers an index by one, so the shorter sentence bounds the steps from below.
  if (limit > 0 && std::min(gold.size(), prediction.size()) >= static_cast<size_t>(limit)) return false;
  const DirectionTable table(gold, prediction, limit);
  size_t i = gold.size(), j = prediction.size();
  for (int64_t steps = 1; i > 0 && j > 0; ++steps) {
    if (steps >= limit && limit > 0) return false;
    if (gold[i - 1] == prediction[j - 1]) {
      words.insert(gold[i - 1]);
      --i, --j;
    } else if (table.goes_up(i, j)) {
      --i;
    } else {
      --j;
    }
  }
  return true;
}

}  // namespace

double rouge_l(TextView prediction_text, TextView gold_text, int64_t recursion_limit) {
  Dictionary dictionary;
  const std::vector<Sentence> prediction = sentences(prediction_text, dictionary);
  const std::vector<Sentence> gold = sentences(gold_text, dictionary);
  if (prediction.empty() || gold.empty()) return 0.0;

  std::set<Word> common;
  for (const Sentence& gold_sentence : gold) {
    for (const Sentence& predicted_sentence : prediction) {
      if (!add_common_subsequence(gold_sentence, predicted_sentence, recursion_limit, common)) return 0.0;
    }
  }
  const auto hits = static_cast<double>(common.size());
  const double recall = hits / static_cast<double>(distinct_words(gold));
  const double precision = hits / static_cast<double>(distinct_words(prediction));
  return 2.0 * ((precision * recall) / (precision + recall + 1e-8));
}

}  // namespace namm::tasks
