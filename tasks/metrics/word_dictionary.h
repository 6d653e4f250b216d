#pragma once

#include <unordered_map>

#include "tasks/metrics/common_subsequence.h"
#include "tasks/text/unicode.h"

namespace namm::tasks {

/// Gives every distinct word a number from 0. Words are views: their texts must live as long.
class WordDictionary {
 public:
  WordId number(TextView word) {
    return words_.try_emplace(word, static_cast<WordId>(words_.size())).first->second;
  }
  size_t size() const { return words_.size(); }

 private:
  std::unordered_map<TextView, WordId> words_;
};

}  // namespace namm::tasks
