#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tasks/segmentation/prefix_dictionary.h"
#include "tasks/segmentation/word_hmm.h"
#include "tasks/text/unicode.h"

namespace namm::tasks {

/// Chinese words as jieba 0.42.1 cuts them in precise mode with its hidden Markov model (`jieba.cut(text,
/// cut_all=False)`), token for token (benchmarks 2.8). Never changes, so threads share one.
class Jieba {
 public:
  /// `folder`: that of the Python package, with dict.txt and finalseg/prob_{start,trans,emit}.py. Takes
  /// about 20 MB. Throws DataError (file:line) for a missing or damaged file.
  static std::shared_ptr<const Jieba> load(const std::filesystem::path& folder);

  /// The words, as views into `text`; one after another they give the text again.
  std::vector<TextView> cut(TextView text) const;

  const PrefixDictionary& dictionary() const { return dictionary_; }
  const WordHmm& hmm() const { return hmm_; }

 private:
  Jieba(PrefixDictionary dictionary, WordHmm hmm);

  /// Ends (exclusive) of the word at every place of the best path through the graph of words.
  std::vector<uint32_t> route(TextView run) const;
  void cut_run(TextView run, std::vector<TextView>& words) const;
  void cut_unknown(TextView text, std::vector<TextView>& words) const;

  PrefixDictionary dictionary_;
  WordHmm hmm_;
};

}  // namespace namm::tasks
