#include "tasks/segmentation/segmenters.h"

#include "core/errors.h"
#include "core/text.h"

namespace namm::tasks {

std::filesystem::path Segmenters::place(const char* package) const {
  const char* what = "word segmentation needs the dictionaries of jieba and unidic-lite";
  const char* remedy =
      "./setup.sh installs them; data.dictionaries or NAMM_DICTIONARIES names another folder";
  if (folder_.empty()) throw DataError(format_text("{}, and no folder is known; {}", what, remedy));
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder_ / package, ignored)) {
    throw DataError(
        format_text("{}: no folder {} is there: {}; {}", folder_.string(), package, what, remedy));
  }
  return folder_ / package;
}

const Jieba& Segmenters::chinese() const {
  const std::lock_guard lock(mutex_);
  if (!chinese_) chinese_ = Jieba::load(place("jieba"));
  return *chinese_;
}

const Mecab& Segmenters::japanese() const {
  const std::lock_guard lock(mutex_);
  if (!japanese_) japanese_ = Mecab::load(place("unidic_lite") / "dicdir");
  return *japanese_;
}

std::string Segmenters::package_version(const std::string& package) const {
  // pip writes jieba-0.42.1.egg-info or jieba-0.42.1.dist-info beside the package.
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder_, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const std::string stem = entry->path().stem().string();
    if (name.ends_with("-info") && stem.starts_with(package + "-"))
      return " " + stem.substr(package.size() + 1);
  }
  return "";
}

std::string Segmenters::chinese_name() const {
  chinese();
  return "jieba" + package_version("jieba");
}

std::string Segmenters::japanese_name() const {
  const std::string& version = japanese().version();
  return format_text("unidic-lite{} (UniDic {})", package_version("unidic_lite"), version);
}

}  // namespace namm::tasks
