#include "core/json_lines.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <istream>
#include <utility>

#include "core/errors.h"
#include "core/files.h"
#include "core/text.h"

namespace namm {
namespace {

constexpr std::size_t max_depth = 200;
// Several times the longest record of the benchmarks, a book of five million characters. A parsed record may
// take twenty times its bytes.
constexpr std::size_t max_record_bytes = std::size_t{1} << 26;

// Deepest nesting of brackets outside of strings. Later steps (dump, copies) recurse, so that hostile depth
// would end the program.
std::size_t depth_of(std::string_view text) {
  std::size_t depth = 0, deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

// The part of nlohmann's message behind its own prefix "[json.exception.parse_error.101] parse error at line
// 1, column 2: ".
std::string reason_of(const nlohmann::json::exception& error) {
  std::string text = error.what();
  if (const std::size_t place = text.find("column "); place != std::string::npos) {
    const std::size_t colon = text.find(": ", place);
    text = colon == std::string::npos ? text : text.substr(colon + 2);
  } else if (const std::size_t bracket = text.find("] "); bracket != std::string::npos) {
    text = text.substr(bracket + 2);
  }
  return replace_invalid_utf8(text.size() > 300 ? text.substr(0, 300) + "..." : text);
}

// Throws DataError with `place` before the reason; `place` gets the offset of the offending byte.
template <class Place>
nlohmann::json parse_at(std::string_view text, const Place& place) {
  if (const auto offset = first_invalid_utf8(text)) {
    throw DataError(place(*offset) + ": not valid UTF-8; convert the file to UTF-8");
  }
  if (depth_of(text) > max_depth) {
    throw DataError(place(std::size_t{0}) + ": nested deeper than " + std::to_string(max_depth) + " levels");
  }
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::parse_error& error) {
    throw DataError(place(error.byte > 0 ? error.byte - 1 : 0) + ": not valid JSON: " + reason_of(error));
  } catch (const nlohmann::json::exception& error) {
    throw DataError(place(std::size_t{0}) + ": not valid JSON: " + reason_of(error));
  }
}

}  // namespace

std::string to_json_text(const nlohmann::json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

nlohmann::json parse_json(std::string_view text, const std::string& name) {
  return parse_at(text, [&](std::size_t offset) {
    const std::string_view before = text.substr(0, std::min(offset, text.size()));
    const std::size_t newline = before.rfind('\n');
    const std::size_t column = before.size() - (newline == std::string_view::npos ? 0 : newline + 1) + 1;
    return name + ':' + std::to_string(std::count(before.begin(), before.end(), '\n') + 1) + ':' +
           std::to_string(column);
  });
}

nlohmann::json read_json(const std::filesystem::path& path) {
  return parse_json(read_file(path), path.string());
}

JsonLinesReader::JsonLinesReader(const std::filesystem::path& path, BadRecords bad_records)
    : name_(path.string()), bad_records_(bad_records) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    throw DataError(name_ + ": is a folder, a file of JSON lines is needed");
  }
  errno = 0;
  auto file = std::make_unique<std::ifstream>(path, std::ios::binary);
  if (!*file) {
    throw DataError(name_ + ": cannot be opened: " + std::strerror(errno));
  }
  stream_ = std::move(file);
}

JsonLinesReader::JsonLinesReader(std::unique_ptr<std::istream> stream, std::string name,
                                 BadRecords bad_records)
    : stream_(std::move(stream)), name_(std::move(name)), bad_records_(bad_records) {}

JsonLinesReader::~JsonLinesReader() = default;
JsonLinesReader::JsonLinesReader(JsonLinesReader&&) noexcept = default;
JsonLinesReader& JsonLinesReader::operator=(JsonLinesReader&&) noexcept = default;

// Keeps at most one byte more than a record may have, so that a file without line ends cannot fill the
// memory; what follows of the line is passed over.
bool JsonLinesReader::read_line(std::string& text) {
  text.clear();
  piece_.resize(std::size_t{1} << 16);
  bool any = false;
  while (true) {
    stream_->getline(piece_.data(), static_cast<std::streamsize>(piece_.size()));
    const auto extracted = static_cast<std::size_t>(stream_->gcount());
    const bool line_ended = stream_->good();
    const bool is_longer = stream_->fail() && !stream_->eof() && !stream_->bad() && extracted > 0;
    any = any || extracted > 0;
    place_.offset += static_cast<std::int64_t>(extracted);
    const std::size_t characters = extracted - (line_ended ? 1 : 0);
    text.append(piece_.data(), std::min(characters, max_record_bytes + 1 - text.size()));
    if (!is_longer) break;
    stream_->clear();
  }
  if (any) ++place_.lines_before;
  return any;
}

std::optional<nlohmann::json> JsonLinesReader::next() {
  std::string text;
  while (read_line(text)) {
    std::string_view record = text;
    if (line() == 1 && record.starts_with("\xEF\xBB\xBF")) {
      record.remove_prefix(3);
    }
    if (trim(record).empty()) {
      continue;
    }
    try {
      if (record.size() > max_record_bytes) {
        fail("a record of more than " + format_bytes(max_record_bytes) + " is not read");
      }
      // Before a list of that length takes twenty times its bytes.
      if (trim(record).front() == '[') fail("a record must be a JSON object, found array");
      nlohmann::json value = parse_at(record, [&](std::size_t) { return where(); });
      if (!value.is_object()) {
        fail(std::string("a record must be a JSON object, found ") + value.type_name());
      }
      return value;
    } catch (const DataError& error) {
      if (bad_records_ == BadRecords::refuse) {
        throw;
      }
      if (skipped_++ == 0) {
        first_skipped_ = error.what();
      }
    }
  }
  if (stream_->bad()) {
    throw DataError(name_ + ": cannot be read: " + std::strerror(errno));
  }
  return std::nullopt;
}

bool JsonLinesReader::is_broken() const {
  return stream_->bad();
}

void JsonLinesReader::go_to(const Place& place) {
  stream_->clear();
  if (!stream_->seekg(place.offset)) {
    throw DataError(name_ + ": cannot be read from byte " + std::to_string(place.offset) + " on");
  }
  place_ = place;
}

std::string JsonLinesReader::where() const {
  return name_ + ':' + std::to_string(line());
}

void JsonLinesReader::fail(const std::string& text) const {
  throw DataError(where() + ": " + text);
}

void JsonLinesWriter::write(const nlohmann::json& record) {
  text_ += to_json_text(record) + '\n';
}

void JsonLinesWriter::commit() {
  write_atomically(path_, text_);
}

}  // namespace namm
