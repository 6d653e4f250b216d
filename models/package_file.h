#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace namm::models {

/// A TorchScript archive seen as the zip file that it is: entries stored or (PyTorch does so with code)
/// deflated, ZIP64 where large. LibTorch does not compare checksums when it reads, so damaged files are found
/// here, before it sees a byte of them.
class PackageFile {
 public:
  struct Entry {
    std::string name;     ///< with the folder that all entries share, "archive/data.pkl"
    uint64_t begin = 0;   ///< of the content in the file
    uint64_t size = 0;    ///< of the content
    uint64_t stored = 0;  ///< bytes that it takes in the file
    bool deflated = false;
    uint32_t crc = 0;
  };

  /// Maps the file and reads its directory. Throws DataError: missing, not a zip file, truncated, encrypted
  /// entries, entries that overlap or leave the file.
  explicit PackageFile(const std::filesystem::path& path);
  PackageFile(const PackageFile&) = delete;
  PackageFile& operator=(const PackageFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  const std::vector<Entry>& entries() const { return entries_; }

  /// Name of an entry without the common folder; empty where it stands elsewhere.
  std::string_view name(const Entry& entry) const;

  /// Content of an entry; its checksum is compared.
  std::string content(const Entry& entry) const;

  /// First byte of the content of an entry that is not deflated; the file stays mapped as long as
  /// the pointer lives. What is written there stays in this process.
  std::shared_ptr<const char> mapped(const Entry& entry) const;

  /// Content of `folder`/`wanted` whatever the common folder is called; its checksum is compared.
  std::optional<std::string> read(std::string_view wanted) const;

  /// SHA-256 of the whole file as it was opened, whatever its name stands for by now and whatever was written
  /// to mapped weights; 64 hexadecimal letters.
  std::string sha256() const;

  /// Compares the checksum of every entry. Throws DataError naming the first that is damaged.
  void verify() const;

 private:
  [[noreturn]] void fail(const std::string& why) const;
  std::string_view bytes(uint64_t begin, uint64_t size, const char* what) const;
  uint64_t number(uint64_t begin, int count, const char* what) const;
  void read_directory();
  std::string inflated(const Entry& entry) const;
  void check(const Entry& entry) const;

  std::filesystem::path path_;
  std::shared_ptr<const char> data_;       // the mapped file, writable for this process
  std::shared_ptr<const char> unchanged_;  // the same file, mapped once more
  uint64_t size_ = 0;
  std::vector<Entry> entries_;
  std::string folder_;  // "archive/"
};

}  // namespace namm::models
