#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

namespace namm::tasks {

/// The files of one benchmark as the user downloaded them: a folder, or a zip archive that is read in place.
/// Safe to use from several threads.
class BenchmarkFolder {
 public:
  /// Opens a folder or, for a file, a zip archive. Throws DataError when it is neither, and for an archive
  /// that is damaged, encrypted, packed by other methods than deflate, names places outside of itself
  /// (absolute, "..") or states sizes that no text compresses to (a zip bomb).
  static std::unique_ptr<const BenchmarkFolder> open(const std::filesystem::path& path);

  virtual ~BenchmarkFolder() = default;

  /// Names of all files, '/' between folders, sorted. A plain folder's own files and those of its direct
  /// subfolders.
  virtual const std::vector<std::string>& files() const = 0;

  /// Where a file of this name is: at the top, else in the folder `data`, else in the only other folder that
  /// has one. Empty: nowhere.
  std::string find(const std::string& name) const;

  /// Reads one of files() as a stream that seeks; what is unpacked is a buffer at a time. Throws DataError
  /// when it cannot be opened; reading throws DataError where the packed bytes turn out damaged.
  virtual std::unique_ptr<std::istream> read(const std::string& file) const = 0;

  /// One of files() for messages: "DIR/trec.jsonl", "data.zip/data/trec.jsonl".
  std::string name_of(const std::string& file) const { return (path_ / file).string(); }

  const std::filesystem::path& path() const { return path_; }

 protected:
  explicit BenchmarkFolder(std::filesystem::path path) : path_(std::move(path)) {}

 private:
  std::filesystem::path path_;
};

}  // namespace namm::tasks
