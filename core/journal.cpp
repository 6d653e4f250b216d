#include "core/journal.h"

#include <cerrno>
#include <limits>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "core/crc32.h"
#include "core/errors.h"
#include "core/file_descriptor.h"
#include "core/files.h"

namespace namm {
namespace {

constexpr std::string_view magic = "NAMMJRNL";
constexpr uint32_t version = 1;

std::string encode(uint32_t value) {
  std::string bytes;
  for (unsigned i = 0; i < 4; ++i) {
    bytes += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
  }
  return bytes;
}

uint32_t decode(std::string_view bytes) {
  uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i) {
    value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return value;
}

std::string header_of(std::string_view key) {
  std::string header(magic);
  header += encode(version) + encode(static_cast<uint32_t>(key.size()));
  header += key;
  return header + encode(crc32(header));
}

struct Parsed {
  JournalContents contents;
  uint64_t good_bytes = 0;  ///< up to here the file is right; 0: not even the header was finished
};

Parsed parse(const std::filesystem::path& path, std::string_view file, std::string_view key) {
  const std::string header = header_of(key);
  if (!file.starts_with(header)) {
    if (std::string_view(header).starts_with(file)) {
      return {{{}, file.size()}, 0};  // the writer died while it made the file
    }
    if (!file.starts_with(magic)) {
      throw DataError(path.string() +
                      ": is not a journal (it starts with other bytes); remove it or choose another run "
                      "directory");
    }
    if (file.size() >= 16 && decode(file.substr(8)) != version) {
      throw DataError(path.string() + ": journal of version " + std::to_string(decode(file.substr(8))) +
                      ", this program reads version " + std::to_string(version));
    }
    const std::size_t length = file.size() >= 16 ? decode(file.substr(12)) : 0;
    const bool whole = file.size() >= 20 && length <= file.size() - 20;
    if (whole && decode(file.substr(16 + length)) == crc32(file.substr(0, 16 + length))) {
      throw DataError(path.string() + ": journal of '" + std::string(file.substr(16, length)) +
                      "', expected '" + std::string(key) + "': it belongs to another run");
    }
    throw DataError(path.string() +
                    ": the head of the journal is damaged; remove the file, its records are computed again");
  }
  Parsed parsed;
  std::string_view rest = file.substr(header.size());
  while (rest.size() >= 8) {
    const uint64_t length = decode(rest);
    if (length > rest.size() - 8) {
      break;
    }
    const std::string_view record = rest.substr(8, length);
    if (crc32(record, crc32(rest.substr(0, 4))) != decode(rest.substr(4))) {
      break;
    }
    parsed.contents.records.emplace_back(record);
    rest.remove_prefix(8 + length);
  }
  parsed.contents.dropped_bytes = rest.size();
  parsed.good_bytes = file.size() - rest.size();
  return parsed;
}

/// Length, checksum, record.
std::string framed(std::string_view record, const std::filesystem::path& path) {
  if (record.size() > std::numeric_limits<uint32_t>::max()) {
    throw InfrastructureError(path.string() + ": a record of 4 GiB or more does not fit into a journal");
  }
  const std::string length = encode(static_cast<uint32_t>(record.size()));
  return (length + encode(crc32(record, crc32(length)))).append(record);
}

}  // namespace

JournalContents Journal::read(const std::filesystem::path& path, std::string_view key) {
  return parse(path, read_file(path), key).contents;
}

Journal Journal::open(const std::filesystem::path& path, std::string_view key) {
  Journal journal;
  journal.path_ = path;
  std::error_code unknown;
  const bool is_new = !std::filesystem::exists(path, unknown);
  journal.descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (journal.descriptor_ < 0) {
    fail_system(path, "cannot be opened");
  }
  Parsed parsed = parse(path, read_file(path), key);
  journal.contents_ = std::move(parsed.contents);
  journal.size_ = parsed.good_bytes;
  if (journal.contents_.dropped_bytes > 0 &&
      ::ftruncate(journal.descriptor_, static_cast<off_t>(journal.size_)) != 0) {
    fail_system(path, "cannot be cut back to its last complete record");
  }
  if (::lseek(journal.descriptor_, static_cast<off_t>(journal.size_), SEEK_SET) < 0) {
    fail_system(path, "cannot be positioned");
  }
  if (journal.size_ == 0) {
    const std::string header = header_of(key);
    write_all(journal.descriptor_, header, path);
    journal.size_ = header.size();
  }
  sync_file(journal.descriptor_, path);
  if (is_new) {
    sync_directory(path.has_parent_path() ? path.parent_path() : std::filesystem::path("."));
  }
  return journal;
}

void Journal::append(std::string_view record) {
  write(framed(record, path_));
}

void Journal::append(std::span<const std::string> records) {
  std::string bytes;
  for (const std::string& record : records) {
    bytes += framed(record, path_);
  }
  write(bytes);
}

void Journal::write(const std::string& bytes) {
  try {
    // The place is set every time: after a failed cut the file may be longer than its good part.
    if (::lseek(descriptor_, static_cast<off_t>(size_), SEEK_SET) < 0) {
      fail_system(path_, "cannot be positioned");
    }
    write_all(descriptor_, bytes, path_);
    sync_file(descriptor_, path_);
  } catch (...) {
    if (::ftruncate(descriptor_, static_cast<off_t>(size_)) != 0) {
      // A torn record behind the good ones is dropped by the next open.
    }
    throw;
  }
  size_ += bytes.size();
}

void Journal::close() noexcept {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
    descriptor_ = -1;
  }
}

Journal::Journal(Journal&& other) noexcept
    : path_(std::move(other.path_)),
      contents_(std::move(other.contents_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

Journal& Journal::operator=(Journal&& other) noexcept {
  if (this != &other) {
    close();
    path_ = std::move(other.path_);
    contents_ = std::move(other.contents_);
    descriptor_ = std::exchange(other.descriptor_, -1);
    size_ = other.size_;
  }
  return *this;
}

Journal::~Journal() {
  close();
}

}  // namespace namm
