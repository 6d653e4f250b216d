#include "tasks/metrics/token_f1.h"

#include <algorithm>
#include <map>

namespace namm::tasks {
namespace {

/// `re.sub(r"\b(a|an|the)\b", " ", text)` on lower-case text.
Text without_articles(TextView text) {
  Text result;
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    while (i < text.size() && is_word_character(text[i])) ++i;
    if (i == start) {
      result.push_back(text[i++]);
      continue;
    }
    const TextView word = text.substr(start, i - start);
    if (word == U"a" || word == U"an" || word == U"the") {
      result.push_back(U' ');
    } else {
      result.append(word);
    }
  }
  return result;
}

}  // namespace

double bag_f1(const std::vector<Text>& prediction, const std::vector<Text>& gold) {
  std::map<TextView, size_t> remaining;
  for (const Text& token : gold) ++remaining[token];
  size_t overlap = 0;
  for (const Text& token : prediction) {
    const auto found = remaining.find(token);
    if (found != remaining.end() && found->second > 0) {
      --found->second;
      ++overlap;
    }
  }
  if (overlap == 0) return 0.0;
  const double precision = static_cast<double>(overlap) / static_cast<double>(prediction.size());
  const double recall = static_cast<double>(overlap) / static_cast<double>(gold.size());
  return (2 * precision * recall) / (precision + recall);
}

std::vector<Text> normalized_words(TextView text) {
  Text plain = lower(text);
  std::erase_if(plain, is_ascii_punctuation);
  return split_on_space(without_articles(plain));
}

double qa_f1(TextView prediction, TextView gold) {
  return bag_f1(normalized_words(prediction), normalized_words(gold));
}

}  // namespace namm::tasks
