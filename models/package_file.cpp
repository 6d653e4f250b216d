#include "models/package_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "core/crc32.h"
#include "core/errors.h"
#include "core/sha256.h"

namespace namm::models {
namespace {

// Sizes and signatures of PKWARE's APPNOTE 6.3.
constexpr uint64_t kLocalHeader = 30, kCentralHeader = 46, kEnd = 22, kEnd64 = 56, kLocator64 = 20;
constexpr uint32_t kLocalMark = 0x04034b50, kCentralMark = 0x02014b50, kEndMark = 0x06054b50;
constexpr uint32_t kEnd64Mark = 0x06064b50, kLocator64Mark = 0x07064b50;
constexpr uint64_t kStored = 0, kDeflated = 8, kMostInflated = 64 << 20;
constexpr uint64_t kIn64 = 0xffffffff, kIn64Short = 0xffff;
// Bit 3: sizes follow the content (PyTorch's writer sets it and fills the directory); bit 11: names are
// UTF-8.
constexpr uint64_t kAllowedFlags = 1u << 3 | 1u << 11;

// At least a byte of an open file; null where that fails. What is written there stays in this process.
std::shared_ptr<const char> mapped_file(int descriptor, uint64_t size, int protection) {
  void* const mapped = ::mmap(nullptr, size, protection, MAP_PRIVATE | MAP_NORESERVE, descriptor, 0);
  if (mapped == MAP_FAILED) return nullptr;
  return {static_cast<const char*>(mapped),
          [size](const char* data) { ::munmap(const_cast<char*>(data), size); }};
}

}  // namespace

PackageFile::PackageFile(const std::filesystem::path& path) : path_(path) {
  // Without blocking: a pipe would wait for its writer.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0)
    throw DataError(path.string() + ": the model archive cannot be opened: " + std::strerror(errno));
  struct stat status {};
  const bool regular = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  if (regular && status.st_size > 0) {
    size_ = static_cast<uint64_t>(status.st_size);
    data_ = mapped_file(descriptor, size_, PROT_READ | PROT_WRITE);
    unchanged_ = mapped_file(descriptor, size_, PROT_READ);
  }
  ::close(descriptor);
  if (!regular) throw DataError(path.string() + ": not a file; a model archive (.pt) is expected");
  if (size_ == 0) throw DataError(path.string() + ": the file is empty; export the model again");
  if (!data_ || !unchanged_)
    throw DataError(path.string() + ": the model archive cannot be read: " + std::strerror(errno));
  read_directory();
}

void PackageFile::fail(const std::string& why) const {
  throw DataError(path_.string() + ": not a complete model archive: " + why +
                  "; export the model again (python -m models.export --help)");
}

std::string_view PackageFile::bytes(uint64_t begin, uint64_t size, const char* what) const {
  if (begin > size_ || size > size_ - begin) {
    fail(std::string(what) + " ends beyond the file's " + std::to_string(size_) + " bytes");
  }
  return {data_.get() + begin, size};
}

uint64_t PackageFile::number(uint64_t begin, int count, const char* what) const {
  const std::string_view field = bytes(begin, static_cast<uint64_t>(count), what);
  uint64_t value = 0;
  for (int i = count - 1; i >= 0; --i)
    value = value << 8 | static_cast<unsigned char>(field[static_cast<std::size_t>(i)]);
  return value;
}

void PackageFile::read_directory() {
  if (size_ < kEnd || number(0, 4, "the first entry") != kLocalMark) fail("it is no TorchScript (zip) file");
  // PyTorch writes no comment, so the end record is the end of the file; anything else was cut or added to.
  const uint64_t end = size_ - kEnd;
  if (number(end, 4, "end record") != kEndMark || number(end + 20, 2, "end record") != 0)
    fail("it is truncated");
  uint64_t count = number(end + 10, 2, "end record");
  uint64_t place = number(end + 16, 4, "end record");
  if (count == kIn64Short || place == kIn64 || number(end + 12, 4, "end record") == kIn64) {
    if (end < kLocator64 || number(end - kLocator64, 4, "locator") != kLocator64Mark)
      fail("its ZIP64 locator is missing");
    const uint64_t end64 = number(end - kLocator64 + 8, 8, "locator");
    if (bytes(end64, kEnd64, "ZIP64 end record").empty() ||
        number(end64, 4, "ZIP64 end record") != kEnd64Mark) {
      fail("its ZIP64 end record is damaged");
    }
    count = number(end64 + 32, 8, "ZIP64 end record");
    place = number(end64 + 48, 8, "ZIP64 end record");
  }
  if (count == 0 || count > size_ / kCentralHeader)
    fail("its directory counts " + std::to_string(count) + " entries");

  for (uint64_t i = 0; i < count; ++i) {
    if (number(place, 4, "directory") != kCentralMark) fail("its directory is damaged");
    const uint64_t flags = number(place + 8, 2, "directory"), method = number(place + 10, 2, "directory");
    const uint64_t name_size = number(place + 28, 2, "directory"),
                   extra_size = number(place + 30, 2, "directory");
    const uint64_t comment_size = number(place + 32, 2, "directory");
    Entry entry;
    entry.crc = static_cast<uint32_t>(number(place + 16, 4, "directory"));
    uint64_t stored = number(place + 20, 4, "directory"), local = number(place + 42, 4, "directory");
    entry.size = number(place + 24, 4, "directory");
    entry.name = bytes(place + kCentralHeader, name_size, "directory");
    if ((method != kStored && method != kDeflated) || (flags & ~kAllowedFlags) != 0) {
      fail("entry " + entry.name + " is encrypted or compressed in an unknown way");
    }
    entry.deflated = method == kDeflated;

    // ZIP64 extra field: 8 bytes for each value that did not fit above, in this order.
    const uint64_t extra_end = place + kCentralHeader + name_size + extra_size;
    for (uint64_t extra = extra_end - extra_size; extra + 4 <= extra_end;) {
      const uint64_t id = number(extra, 2, "directory"), length = number(extra + 2, 2, "directory");
      if (length > extra_end - extra - 4) fail("the directory entry of " + entry.name + " is damaged");
      uint64_t next = extra + 4;
      for (uint64_t* value : {&entry.size, &stored, &local}) {
        if (id != 1 || *value != kIn64 || next + 8 > extra + 4 + length) continue;
        *value = number(next, 8, "directory");
        next += 8;
      }
      extra += 4 + length;
    }
    if (!entry.deflated && stored != entry.size) fail("entry " + entry.name + " has two sizes");
    entry.stored = stored;

    if (number(local, 4, "entry") != kLocalMark || number(local + 26, 2, "entry") != name_size ||
        bytes(local + kLocalHeader, name_size, "entry") != entry.name ||
        number(local + 8, 2, "entry") != method || number(local + 6, 2, "entry") != flags) {
      fail("the header of entry " + entry.name + " is damaged");
    }
    entry.begin = local + kLocalHeader + name_size + number(local + 28, 2, "entry");
    bytes(entry.begin, entry.stored, "an entry");
    entries_.push_back(std::move(entry));
    place = extra_end + comment_size;
  }
  std::vector<const Entry*> in_order;
  for (const Entry& entry : entries_) in_order.push_back(&entry);
  std::sort(in_order.begin(), in_order.end(),
            [](const Entry* a, const Entry* b) { return a->begin < b->begin; });
  for (std::size_t i = 1; i < in_order.size(); ++i) {
    if (in_order[i - 1]->begin + in_order[i - 1]->stored > in_order[i]->begin) fail("its entries overlap");
  }
  const std::string& first = entries_.front().name;
  folder_ = first.substr(0, first.find('/') + 1);
}

std::string PackageFile::inflated(const Entry& entry) const {
  // Only code is compressed by PyTorch; a size beyond this is a lie that would cost memory.
  if (entry.size > kMostInflated)
    fail("entry " + entry.name + " claims " + std::to_string(entry.size) + " bytes");
  std::string content(entry.size, '\0');
  z_stream stream{};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data_.get() + entry.begin));
  stream.avail_in = static_cast<uInt>(entry.stored);
  stream.next_out = reinterpret_cast<Bytef*>(content.data());
  stream.avail_out = static_cast<uInt>(content.size());
  if (entry.stored > kMostInflated || inflateInit2(&stream, -MAX_WBITS) != Z_OK)
    fail("entry " + entry.name + " is damaged");
  const int state = inflate(&stream, Z_FINISH);
  const bool whole = state == Z_STREAM_END && stream.avail_out == 0 && stream.avail_in == 0;
  inflateEnd(&stream);
  if (!whole) fail("entry " + entry.name + " is damaged");
  return content;
}

void PackageFile::check(const Entry& entry) const {
  const uint32_t crc =
      entry.deflated ? crc32(inflated(entry)) : crc32({data_.get() + entry.begin, entry.size});
  if (crc != entry.crc) fail("the checksum of entry " + entry.name + " is wrong");
}

std::string_view PackageFile::name(const Entry& entry) const {
  return entry.name.starts_with(folder_) ? std::string_view(entry.name).substr(folder_.size())
                                         : std::string_view();
}

std::string PackageFile::content(const Entry& entry) const {
  check(entry);
  return entry.deflated ? inflated(entry) : std::string(data_.get() + entry.begin, entry.size);
}

std::shared_ptr<const char> PackageFile::mapped(const Entry& entry) const {
  return {data_, data_.get() + entry.begin};
}

std::optional<std::string> PackageFile::read(std::string_view wanted) const {
  for (const Entry& entry : entries_) {
    if (name(entry) == wanted) return content(entry);
  }
  return std::nullopt;
}

std::string PackageFile::sha256() const {
  constexpr uint64_t kPiece = 16 << 20;
  Sha256 hash;
  for (uint64_t begin = 0; begin < size_; begin += kPiece) {
    const std::string_view piece = std::string_view(unchanged_.get(), size_).substr(begin, kPiece);
    hash.update(piece);
    // Given back, so that the pages of the weights do not count twice.
    ::madvise(const_cast<char*>(piece.data()), piece.size(), MADV_DONTNEED);
  }
  return hash.hex();
}

void PackageFile::verify() const {
  for (const Entry& entry : entries_) check(entry);
}

}  // namespace namm::models
