#include "tasks/records/zip_archive.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <istream>
#include <map>
#include <streambuf>

#include <zip.h>

#include "core/errors.h"
#include "core/text.h"

namespace namm::tasks {
namespace {

/// Records of JSON shrink 3 to 30 times, and repeated sentences hardly 300 times; deflate's limit, which
/// bombs come close to, is 1,032.
constexpr uint64_t largest_ratio = 500;
constexpr uint64_t small_member_bytes = uint64_t{1} << 20;
constexpr zip_int64_t most_members = 100'000;

struct CloseArchive {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
using Archive = std::unique_ptr<zip_t, CloseArchive>;

struct CloseMember {
  void operator()(zip_file_t* member) const { zip_fclose(member); }
};
using Member = std::unique_ptr<zip_file_t, CloseMember>;

Archive open_archive(const std::filesystem::path& path) {
  int code = 0;
  Archive archive(zip_open(path.c_str(), ZIP_RDONLY, &code));
  if (archive) return archive;
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  const std::string reason = zip_error_strerror(&error);
  zip_error_fini(&error);
  throw DataError(format_text("{}: cannot be read as a zip archive: {}", path.string(), reason));
}

struct Entry {
  zip_uint64_t index = 0;
  uint64_t bytes = 0;
};

/// Unpacks one member from its beginning to its end; a place behind is reached by beginning anew.
class MemberBuffer : public std::streambuf {
 public:
  MemberBuffer(const std::filesystem::path& path, std::string name, const Entry& entry)
      : archive_(open_archive(path)), name_(std::move(name)), entry_(entry) {
    begin();
  }

 protected:
  int_type underflow() override {
    buffer_begin_ += egptr() - eback();
    const auto size = static_cast<std::size_t>(
        std::min<uint64_t>(buffer_.size(), entry_.bytes - static_cast<uint64_t>(buffer_begin_) + 1));
    const zip_int64_t read = zip_fread(member_.get(), buffer_.data(), size);
    if (read < 0) fail(zip_file_strerror(member_.get()));
    if (static_cast<uint64_t>(buffer_begin_ + read) > entry_.bytes)
      fail("holds more bytes than the archive says");
    setg(buffer_.data(), buffer_.data(), buffer_.data() + read);
    if (read > 0) return traits_type::to_int_type(*gptr());
    if (static_cast<uint64_t>(buffer_begin_) < entry_.bytes) fail("ends early");
    return traits_type::eof();
  }

  pos_type seekoff(off_type offset, std::ios_base::seekdir direction,
                   std::ios_base::openmode which) override {
    if (direction == std::ios_base::end) return pos_type(off_type(-1));
    return seekpos(direction == std::ios_base::cur ? position() + offset : offset, which);
  }

  pos_type seekpos(pos_type place, std::ios_base::openmode) override {
    const off_type target = place;
    if (target < 0 || static_cast<uint64_t>(target) > entry_.bytes) return pos_type(off_type(-1));
    if (target < buffer_begin_) begin();
    while (target > buffer_begin_ + (egptr() - eback())) {
      if (traits_type::eq_int_type(underflow(), traits_type::eof())) return pos_type(off_type(-1));
    }
    setg(eback(), eback() + (target - buffer_begin_), egptr());
    return place;
  }

 private:
  off_type position() const { return buffer_begin_ + (gptr() - eback()); }

  void begin() {
    member_.reset(zip_fopen_index(archive_.get(), entry_.index, 0));
    if (!member_) fail(zip_strerror(archive_.get()));
    buffer_begin_ = 0;
    setg(buffer_.data(), buffer_.data(), buffer_.data());
  }

  [[noreturn]] void fail(const std::string& reason) const {
    throw DataError(format_text("{}: cannot be unpacked: {}; download the archive again", name_, reason));
  }

  Archive archive_;
  Member member_;
  std::string name_;
  Entry entry_;
  off_type buffer_begin_ = 0;  // of the buffer's first byte within the member
  std::array<char, std::size_t{1} << 16> buffer_;
};

class MemberStream : private MemberBuffer, public std::istream {
 public:
  MemberStream(const std::filesystem::path& path, std::string name, const Entry& entry)
      : MemberBuffer(path, std::move(name), entry), std::istream(static_cast<MemberBuffer*>(this)) {
    exceptions(std::ios::badbit);  // lets the buffer's DataError through
  }
};

class ZipArchive : public BenchmarkFolder {
 public:
  explicit ZipArchive(const std::filesystem::path& path) : BenchmarkFolder(path) {
    const Archive archive = open_archive(path);
    const zip_int64_t members = zip_get_num_entries(archive.get(), 0);
    if (members > most_members) refuse(format_text("holds {} files", members));
    uint64_t packed_bytes = 0;
    for (zip_int64_t i = 0; i < members; ++i) add(archive.get(), static_cast<zip_uint64_t>(i), packed_bytes);
    std::error_code error;
    if (packed_bytes > std::filesystem::file_size(path, error) && !error) {
      refuse("its files lie over each other (a zip bomb)");
    }
    for (const auto& [name, entry] : entries_) files_.push_back(name);
  }

  const std::vector<std::string>& files() const override { return files_; }

  std::unique_ptr<std::istream> read(const std::string& file) const override {
    const auto entry = entries_.find(file);
    if (entry == entries_.end()) throw DataError(name_of(file) + ": not in the archive");
    return std::make_unique<MemberStream>(path(), name_of(file), entry->second);
  }

 private:
  void add(zip_t* archive, zip_uint64_t index, uint64_t& packed_bytes) {
    zip_stat_t stat;
    constexpr zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE |
                                    ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if (zip_stat_index(archive, index, 0, &stat) != 0 || (stat.valid & needed) != needed) {
      refuse(format_text("its file number {} cannot be read", index + 1));
    }
    const std::string name = replace_invalid_utf8(stat.name);
    if (name.empty() || name.ends_with('/')) return;  // a folder
    if (name.front() == '/' || name.find('\\') != std::string::npos ||
        ("/" + name + "/").find("/../") != std::string::npos) {
      refuse(format_text("'{}' names a place outside of the archive", name));
    }
    if (stat.encryption_method != ZIP_EM_NONE) refuse(format_text("'{}' is encrypted", name));
    if (stat.comp_method != ZIP_CM_STORE && stat.comp_method != ZIP_CM_DEFLATE) {
      refuse(format_text("'{}' is packed by method {}, only deflate is read", name, stat.comp_method));
    }
    if (stat.size > small_member_bytes && stat.size / largest_ratio > stat.comp_size) {
      refuse(format_text("'{}' claims to be {} packed into {} (a zip bomb)", name, format_bytes(stat.size),
                         format_bytes(stat.comp_size)));
    }
    packed_bytes += stat.comp_size;
    if (!entries_.emplace(name, Entry{index, stat.size}).second)
      refuse(format_text("'{}' is there twice", name));
  }

  [[noreturn]] void refuse(const std::string& reason) const {
    throw DataError(format_text("{}: is refused: {}", path().string(), reason));
  }

  std::map<std::string, Entry> entries_;
  std::vector<std::string> files_;
};

}  // namespace

std::unique_ptr<const BenchmarkFolder> open_zip_archive(const std::filesystem::path& path) {
  return std::make_unique<ZipArchive>(path);
}

}  // namespace namm::tasks
