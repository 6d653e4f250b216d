#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace namm {

/// JSON as text: always valid UTF-8 (bytes that are not are replaced by U+FFFD), non-finite numbers as null.
/// indent < 0 gives one line.
std::string to_json_text(const nlohmann::json& value, int indent = -1);

/// One JSON document. `name` stands in errors. Throws DataError `name:line:column: ...` (also for nesting
/// above 200).
nlohmann::json parse_json(std::string_view text, const std::string& name);

/// parse_json of a whole file.
nlohmann::json read_json(const std::filesystem::path& path);

enum class BadRecords { refuse, skip };

/// Reads a file of one JSON object a line, one record of at most 64 MiB in memory at a time. A UTF-8 byte
/// order mark, CRLF, empty lines and a missing last newline are accepted.
class JsonLinesReader {
 public:
  /// Where a line begins.
  struct Place {
    std::int64_t offset = 0;         ///< bytes from the beginning
    std::uint64_t lines_before = 0;  ///< lines that end before it
  };

  /// Throws DataError when the file cannot be opened.
  explicit JsonLinesReader(const std::filesystem::path& path, BadRecords bad_records = BadRecords::refuse);
  /// Reads `stream`, e.g. a member of an archive; `name` stands in errors.
  JsonLinesReader(std::unique_ptr<std::istream> stream, std::string name,
                  BadRecords bad_records = BadRecords::refuse);
  ~JsonLinesReader();
  JsonLinesReader(JsonLinesReader&&) noexcept;
  JsonLinesReader& operator=(JsonLinesReader&&) noexcept;

  /// The next record, or nothing at the end. A record that is not a JSON object in valid UTF-8 throws
  /// DataError `file:line: ...`, or is counted and skipped.
  std::optional<nlohmann::json> next();

  /// Where next() goes on reading.
  Place place() const { return place_; }
  /// Lets next() go on at a place that place() gave. The stream must be one that seeks. Throws DataError when
  /// it cannot.
  void go_to(const Place& place);

  /// The stream itself failed: no further record can be read.
  bool is_broken() const;

  /// Line of the last record, from 1.
  std::uint64_t line() const { return place_.lines_before; }
  const std::string& name() const { return name_; }
  /// `file:line` of the last record.
  std::string where() const;
  /// Throws DataError `file:line: text`; for callers that find a field missing or of the wrong type.
  [[noreturn]] void fail(const std::string& text) const;

  uint64_t skipped() const { return skipped_; }
  /// Error text of the first skipped record.
  const std::string& first_skipped() const { return first_skipped_; }

 private:
  bool read_line(std::string& text);

  std::unique_ptr<std::istream> stream_;
  std::string name_;
  BadRecords bad_records_;
  Place place_;
  std::string piece_;
  uint64_t skipped_ = 0;
  std::string first_skipped_;
};

/// Collects records and writes them in one atomic step (write_atomically), so that a file is there whole or
/// not at all.
class JsonLinesWriter {
 public:
  explicit JsonLinesWriter(std::filesystem::path path) : path_(std::move(path)) {}

  void write(const nlohmann::json& record);
  /// Throws InfrastructureError.
  void commit();

 private:
  std::filesystem::path path_;
  std::string text_;
};

}  // namespace namm
