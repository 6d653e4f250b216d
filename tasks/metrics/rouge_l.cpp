#include "tasks/metrics/rouge_l.h"

#include <algorithm>
#include <vector>

#include "tasks/metrics/word_dictionary.h"

namespace namm::tasks {
namespace {

/// Pieces between ASCII full stops. A piece of white space only is a sentence of one empty word, as in the
/// package.
std::vector<WordIds> sentences(TextView text, WordDictionary& dictionary) {
  std::vector<WordIds> result;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(U'.', start), text.size());
    if (end > start) {
      WordIds& sentence = result.emplace_back();
      for_each_word(text.substr(start, end - start),
                    [&](TextView word) { sentence.push_back(dictionary.number(word)); });
      if (sentence.empty()) sentence.push_back(dictionary.number({}));
    }
    start = end + 1;
  }
  return result;
}

size_t distinct_words(const std::vector<WordIds>& text, size_t all_words) {
  std::vector<bool> seen(all_words);
  size_t count = 0;
  for (const WordIds& sentence : text) {
    for (const WordId word : sentence) {
      count += !seen[static_cast<size_t>(word)];
      seen[static_cast<size_t>(word)] = true;
    }
  }
  return count;
}

}  // namespace

double rouge_l(TextView prediction_text, TextView gold_text, int64_t recursion_limit) {
  WordDictionary dictionary;
  const std::vector<WordIds> prediction = sentences(prediction_text, dictionary);
  const std::vector<WordIds> gold = sentences(gold_text, dictionary);
  if (prediction.empty() || gold.empty()) return 0.0;

  CommonSubsequence common(dictionary.size());
  std::vector<bool> is_common(dictionary.size());
  std::vector<size_t> places;
  size_t united = 0;
  for (const WordIds& gold_sentence : gold) {
    for (const WordIds& predicted_sentence : prediction) {
      places.clear();
      if (!common.trace(gold_sentence, predicted_sentence, recursion_limit, places)) return 0.0;
      for (const size_t place : places) {
        const auto word = static_cast<size_t>(predicted_sentence[place]);
        united += !is_common[word];
        is_common[word] = true;
      }
    }
  }
  const auto hits = static_cast<double>(united);
  const double recall = hits / static_cast<double>(distinct_words(gold, dictionary.size()));
  const double precision = hits / static_cast<double>(distinct_words(prediction, dictionary.size()));
  return 2.0 * ((precision * recall) / (precision + recall + 1e-8));
}

}  // namespace namm::tasks
