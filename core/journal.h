#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace namm {

/// What a journal file held.
struct JournalContents {
  std::vector<std::string> records;
  uint64_t dropped_bytes = 0;  ///< behind the last complete record: a record torn by a crash, or damage
};

/// Append-only file of records that survives any crash. Layout, little endian: "NAMMJRNL", version uint32,
/// key length uint32, key, CRC-32 of all before; then per record: length uint32, CRC-32 of length and bytes,
/// bytes. The key says what the records belong to (e.g. config hash and generation). One thread at a time.
class Journal {
 public:
  /// Opens for appending, creating the file if need be; cuts a torn tail off. `contents()` then tells what is
  /// there. Throws DataError when the file is no journal, of another version or another key;
  /// InfrastructureError when the disk fails.
  static Journal open(const std::filesystem::path& path, std::string_view key);

  /// Reads without changing the file. A missing file throws DataError.
  static JournalContents read(const std::filesystem::path& path, std::string_view key);

  Journal(Journal&& other) noexcept;
  Journal& operator=(Journal&& other) noexcept;
  ~Journal();

  /// Records found when the journal was opened.
  const JournalContents& contents() const { return contents_; }

  /// Returns when the record is on the disk. On failure (disk full) the file is cut back to its earlier
  /// records and InfrastructureError is thrown; a later append may succeed.
  void append(std::string_view record);
  /// The same for several, with one wait for the disk.
  void append(std::span<const std::string> records);

 private:
  Journal() = default;
  void write(const std::string& bytes);
  void close() noexcept;

  std::filesystem::path path_;
  JournalContents contents_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

}  // namespace namm
