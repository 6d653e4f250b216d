#include "core/files.h"

#include <atomic>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/errors.h"
#include "core/file_descriptor.h"

namespace namm {

FileDescriptor::~FileDescriptor() {
  if (value_ >= 0) {
    ::close(value_);
  }
}

int FileDescriptor::close_now() {
  const int value = value_;
  value_ = -1;
  return ::close(value);
}

void write_all(int descriptor, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) {
        continue;
      }
      fail_system(path, "cannot be written");
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void sync_file(int descriptor, const std::filesystem::path& path) {
  while (::fsync(descriptor) != 0) {
    if (errno != EINTR) {
      fail_system(path, "cannot be written");
    }
  }
}

void fail_system(const std::filesystem::path& path, const std::string& what) {
  const int code = errno;
  std::string advice;
  if (code == ENOSPC || code == EDQUOT) {
    advice = "; free some space, then go on with --resume (nothing that was finished is lost)";
  } else if (code == EACCES || code == EPERM || code == EROFS) {
    advice = "; choose a folder that you may write to";
  }
  throw InfrastructureError(path.string() + ": " + what + ": " + std::strerror(code) + advice);
}

std::string read_file(const std::filesystem::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (file.value() < 0 || ::fstat(file.value(), &status) != 0) {
    throw DataError(path.string() + ": cannot be opened: " + std::strerror(errno));
  }
  std::string bytes;
  if (status.st_size > 0) {
    bytes.reserve(static_cast<std::size_t>(status.st_size));
  }
  std::string piece(1 << 16, '\0');
  for (;;) {
    const ssize_t count = ::read(file.value(), piece.data(), piece.size());
    if (count < 0) {
      if (errno == EINTR) {
        continue;
      }
      throw DataError(path.string() + ": cannot be read: " + std::strerror(errno));
    }
    if (count == 0) {
      return bytes;
    }
    bytes.append(piece, 0, static_cast<std::size_t>(count));
  }
}

void write_atomically(const std::filesystem::path& path, std::string_view bytes) {
  // The name is unique, so that two writers of one path cannot mix their bytes.
  static std::atomic<uint64_t> counter{0};
  const std::filesystem::path temporary =
      path.string() + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
  FileDescriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (file.value() < 0) {
    fail_system(path, "cannot be written");
  }
  try {
    write_all(file.value(), bytes, path);
    sync_file(file.value(), path);
    if (file.close_now() != 0) {
      fail_system(path, "cannot be written");
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
      fail_system(path, "cannot be written");
    }
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_directory(path.has_parent_path() ? path.parent_path() : std::filesystem::path("."));
}

void append_durably(const std::filesystem::path& path, std::string_view bytes) {
  std::error_code unknown;
  const bool is_new = !std::filesystem::exists(path, unknown);
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  struct stat status {};
  if (file.value() < 0 || ::fstat(file.value(), &status) != 0) {
    fail_system(path, "cannot be written");
  }
  try {
    write_all(file.value(), bytes, path);
    sync_file(file.value(), path);
  } catch (...) {
    if (::ftruncate(file.value(), status.st_size) != 0) {
      // The caller learns of the first failure; readers skip a torn last line.
    }
    throw;
  }
  if (is_new) {
    sync_directory(path.has_parent_path() ? path.parent_path() : std::filesystem::path("."));
  }
}

std::filesystem::path plain_path(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::path plain = std::filesystem::absolute(path, error).lexically_normal();
  return plain.has_filename() ? plain : plain.parent_path();
}

void make_directories(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    errno = error.value();
    fail_system(path, "folder cannot be made");
  }
}

void sync_directory(const std::filesystem::path& directory) {
  const FileDescriptor folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.value() < 0) {
    fail_system(directory, "folder cannot be opened");
  }
  // Some file systems cannot sync a folder and say EINVAL; there is nothing more to do there.
  if (::fsync(folder.value()) != 0 && errno != EINVAL && errno != EINTR) {
    fail_system(directory, "folder cannot be written");
  }
}

}  // namespace namm
