#pragma once

#include <filesystem>
#include <string>
#include <string_view>

// Internal to core: POSIX calls with our errors.
namespace namm {

/// Owns an open file; -1 is none.
class FileDescriptor {
 public:
  explicit FileDescriptor(int value) : value_(value) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor();

  int value() const { return value_; }
  /// Closes; returns what close(2) returns.
  int close_now();

 private:
  int value_;
};

/// Throw InfrastructureError with `path` and the system's reason (errno).
void write_all(int descriptor, std::string_view bytes, const std::filesystem::path& path);
void sync_file(int descriptor, const std::filesystem::path& path);
[[noreturn]] void fail_system(const std::filesystem::path& path, const std::string& what);

}  // namespace namm
