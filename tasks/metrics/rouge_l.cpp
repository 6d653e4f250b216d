#include "tasks/metrics/rouge_l.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

namespace namm::tasks {
namespace {

using Word = int32_t;
using Sentence = std::vector<Word>;

/// Gives every distinct word a number.
class Dictionary {
 public:
  Word number(const Text& word) { return words_.try_emplace(word, static_cast<Word>(words_.size())).first->second; }

 private:
  std::map<Text, Word> words_;
};

/// Pieces between ASCII full stops. A piece of white space only is a sentence of one empty word, as in the package.
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

/// Words of one longest common subsequence, the one that the package's trace-back finds; nothing when the trace-back takes
/// `limit` steps or more. `table` is scratch memory.
bool add_common_subsequence(const Sentence& gold, const Sentence& prediction, int64_t limit, std::vector<int32_t>& table,
                            std::set<Word>& words) {
  const size_t rows = gold.size(), columns = prediction.size(), stride = columns + 1;
  table.assign((rows + 1) * stride, 0);
  for (size_t i = 1; i <= rows; ++i) {
    for (size_t j = 1; j <= columns; ++j) {
      table[i * stride + j] = gold[i - 1] == prediction[j - 1]
                                  ? table[(i - 1) * stride + j - 1] + 1
                                  : std::max(table[(i - 1) * stride + j], table[i * stride + j - 1]);
    }
  }
  size_t i = rows, j = columns;
  for (int64_t steps = 0; i > 0 && j > 0;) {
    if (gold[i - 1] == prediction[j - 1]) {
      words.insert(gold[i - 1]);
      --i, --j;
    } else if (table[(i - 1) * stride + j] > table[i * stride + j - 1]) {
      --i;
    } else {
      --j;
    }
    if (++steps >= limit && limit > 0) return false;
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
  std::vector<int32_t> table;
  for (const Sentence& gold_sentence : gold) {
    for (const Sentence& predicted_sentence : prediction) {
      if (!add_common_subsequence(gold_sentence, predicted_sentence, recursion_limit, table, common)) return 0.0;
    }
  }
  const auto hits = static_cast<double>(common.size());
  const double recall = hits / static_cast<double>(distinct_words(gold));
  const double precision = hits / static_cast<double>(distinct_words(prediction));
  return 2.0 * ((precision * recall) / (precision + recall + 1e-8));
}

}  // namespace namm::tasks
