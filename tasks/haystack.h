#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/task.h"

namespace namm::tasks {

/// Sentences of real text for each split; no sentence place serves two splits.
class Haystack {
 public:
  using Document = std::vector<std::string>;  ///< sentences in order, white space made single blanks

  /// Reads a text file (UTF-8), or the `context` fields of a .jsonl file; the text of ours when `path` is
  /// empty. Five or more documents are dealt out whole (3 : 1 : 1 to train, validation, test), fewer are each
  /// cut 60 : 20 : 20. Throws DataError when the file is unreadable, not UTF-8, or has too few sentences of
  /// 21 to 299 bytes for some split.
  static Haystack open(const std::filesystem::path& path);

  /// Never empty; every document has at least one sentence.
  const std::vector<Document>& documents(Split split) const { return splits_[static_cast<size_t>(split)]; }

 private:
  std::vector<Document> splits_[3];
};

/// Sentences of `text`: pieces that end in '.', '!' or '?' before white space.
Haystack::Document sentences_of(std::string_view text);

}  // namespace namm::tasks
