#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "tasks/segmentation/jieba.h"
#include "tasks/segmentation/mecab.h"

namespace namm::tasks {

/// Word segmentation for the metrics of Chinese and Japanese, each loaded when it is first asked for. Threads
/// may share one.
class Segmenters {
 public:
  /// `folder` holds the packages' folders jieba/ and unidic_lite/, as site-packages of a Python environment
  /// does; empty: there is none.
  explicit Segmenters(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// Both throw DataError when the dictionary is missing or damaged, in every call.
  const Jieba& chinese() const;
  const Mecab& japanese() const;

  /// Package and version of the dictionary, as reported beside scores: "jieba 0.42.1",
  /// "unidic-lite 1.0.8 (UniDic 2.1.2)". Throw as the above.
  std::string chinese_name() const;
  std::string japanese_name() const;

 private:
  std::filesystem::path place(const char* package) const;
  std::string package_version(const std::string& package) const;

  std::filesystem::path folder_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Jieba> chinese_;   // guarded by mutex_
  mutable std::shared_ptr<const Mecab> japanese_;  // guarded by mutex_
};

}  // namespace namm::tasks
