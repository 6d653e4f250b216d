#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tasks/text/unicode.h"

namespace MeCab {
class Lattice;
class Model;
class Tagger;
}  // namespace MeCab

namespace namm::tasks {

/// Japanese words as fugashi 1.3.2 gives them: the surfaces of MeCab's best path, under a dictionary of the
/// UniDic family (benchmarks 4). Threads may share one.
class Mecab {
 public:
  /// Longest text, in bytes of UTF-8: MeCab's time grows with the square of a run of unknown characters of
  /// one kind, 20 s for this many.
  static constexpr size_t longest_text_bytes = size_t{128} << 10;

  /// `folder`: a compiled dictionary, such as `dicdir` of the Python package unidic-lite. Throws DataError
  /// where there is none, where MeCab cannot read it, and for one that fugashi refuses (not UniDic, not
  /// UTF-8). MeCab trusts what stands inside files of the right size.
  static std::shared_ptr<const Mecab> load(const std::filesystem::path& folder);

  ~Mecab();

  /// The words, as views into `text`. The text ends at a NUL character and is one sentence; what the
  /// dictionary counts as space (blank, tab, line feed, vertical tab) belongs to no word. Throws DataError
  /// for texts longer than `longest_text_bytes`.
  std::vector<TextView> cut(TextView text) const;

  /// Version of the dictionary as its file `version` says, "unknown" without one.
  const std::string& version() const { return version_; }

  int64_t words() const { return words_; }  ///< entries of the dictionary

 private:
  class LoanedLattice;

  Mecab();
  void check_dictionary(const std::filesystem::path& folder) const;

  std::unique_ptr<MeCab::Model> model_;
  std::unique_ptr<MeCab::Tagger> tagger_;
  std::string version_;
  int64_t words_ = 0;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<MeCab::Lattice>> idle_lattices_;  // guarded by mutex_
};

}  // namespace namm::tasks
