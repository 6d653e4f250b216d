#include "tasks/metrics/rouge_lsum.h"

#include <algorithm>
#include <vector>

#include "tasks/metrics/word_dictionary.h"

namespace namm::tasks {
namespace {

bool is_word_letter(char32_t c) {
  return (c >= U'a' && c <= U'z') || (c >= U'0' && c <= U'9');
}

/// The lines of lower-case text as words; lines without a word are left out, they have no common words.
std::vector<WordIds> sentences(TextView text, WordDictionary& dictionary) {
  std::vector<WordIds> result;
  WordIds sentence;
  for (size_t i = 0; i <= text.size();) {
    if (i == text.size() || text[i] == U'\n') {
      if (!sentence.empty()) result.push_back(std::move(sentence));
      sentence.clear();
      ++i;
      continue;
    }
    const size_t start = i;
    while (i < text.size() && is_word_letter(text[i])) ++i;
    if (i > start) {
      sentence.push_back(dictionary.number(text.substr(start, i - start)));
    } else {
      ++i;
    }
  }
  return result;
}

/// How often each word occurs; `total` gets the number of all.
std::vector<size_t> count_words(const std::vector<WordIds>& text, size_t all_words, size_t& total) {
  std::vector<size_t> counts(all_words);
  total = 0;
  for (const WordIds& sentence : text) {
    total += sentence.size();
    for (const WordId word : sentence) ++counts[static_cast<size_t>(word)];
  }
  return counts;
}

}  // namespace

double rouge_lsum(TextView prediction_text, TextView gold_text) {
  const Text lower_prediction = lower(prediction_text), lower_gold = lower(gold_text);
  WordDictionary dictionary;
  const std::vector<WordIds> prediction = sentences(lower_prediction, dictionary);
  const std::vector<WordIds> gold = sentences(lower_gold, dictionary);
  if (prediction.empty() || gold.empty()) return 0.0;

  size_t predicted_words = 0, gold_words = 0;
  std::vector<size_t> left_in_prediction = count_words(prediction, dictionary.size(), predicted_words);
  std::vector<size_t> left_in_gold = count_words(gold, dictionary.size(), gold_words);
  CommonSubsequence common(dictionary.size());
  std::vector<size_t> places;
  size_t hits = 0;
  for (const WordIds& gold_sentence : gold) {
    places.clear();
    for (const WordIds& predicted_sentence : prediction) {
      common.trace(predicted_sentence, gold_sentence, 0, places);
    }
    std::ranges::sort(places);
    places.erase(std::unique(places.begin(), places.end()), places.end());
    for (const size_t place : places) {
      const auto word = static_cast<size_t>(gold_sentence[place]);
      if (left_in_prediction[word] == 0 || left_in_gold[word] == 0) continue;
      ++hits, --left_in_prediction[word], --left_in_gold[word];
    }
  }
  if (hits == 0) return 0.0;
  const double recall = static_cast<double>(hits) / static_cast<double>(gold_words);
  const double precision = static_cast<double>(hits) / static_cast<double>(predicted_words);
  return 2 * precision * recall / (precision + recall);
}

}  // namespace namm::tasks
