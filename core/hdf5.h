#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace namm {

using Hdf5Shape = std::vector<int64_t>;

/// A data set in row-major order; a scalar has shape {} and one value.
template <class T>
struct Hdf5Array {
  Hdf5Shape shape;
  std::vector<T> values;
};

enum class Hdf5Kind { group, integers, floats, text, other };

/// An HDF5 file. Objects are named by absolute or root-relative paths ("policy/theta"); groups on the way are
/// made by the writes. Numeric types T: float, double, int8_t, uint8_t, int16_t, int32_t, int64_t, uint64_t;
/// reads convert from any numeric type and refuse values that do not fit. Any thread may use any file: calls
/// are serialised (HDF5 itself is not thread-safe).
///
/// Files written here carry in front (HDF5's user block, ignored by other readers) their length and SHA-256,
/// checked before HDF5 parses a byte, because HDF5 1.10 crashes or loops on some damaged files.
///
/// Errors are DataError with file, object and reason; InfrastructureError where the disk fails.
class Hdf5File {
 public:
  /// A new file, built in memory; nothing is on disk before commit().
  static Hdf5File create(const std::filesystem::path& path);
  /// An existing file that was written here, read only. Anything else is refused.
  static Hdf5File open(const std::filesystem::path& path);
  /// Also a file of another program, which carries no checksum. For files that are known to be whole: HDF5
  /// may crash on a damaged one.
  static Hdf5File open_foreign(const std::filesystem::path& path);
  /// True when the file carries our checksum and it is right (no HDF5 call is made). False for anything else.
  static bool intact(const std::filesystem::path& path) noexcept;

  Hdf5File(Hdf5File&&) noexcept;
  Hdf5File& operator=(Hdf5File&&) noexcept;
  /// Drops what was not committed.
  ~Hdf5File();

  const std::filesystem::path& path() const;

  /// Writes the file (temporary name, fsync, rename, fsync of the directory) and closes it. Same content,
  /// same bytes.
  void commit();

  void make_group(std::string_view name);

  /// `values` has as many elements as `shape` says. Large data sets are chunked, shuffled and
  /// compressed, those of floating-point numbers up to 1 MiB.
  template <class T>
  void write(std::string_view name, const Hdf5Shape& shape, std::span<const T> values);
  template <class T>
  void write(std::string_view name, const Hdf5Shape& shape, const std::vector<T>& values) {
    write<T>(name, shape, std::span<const T>(values));
  }
  template <class T>
  void write_scalar(std::string_view name, T value) {
    write<T>(name, {}, std::span<const T>(&value, 1));
  }
  /// Bytes of any length and content, as a data set of one string (attributes end at 64 KiB).
  void write_text(std::string_view name, std::string_view text);
  /// A list of texts of any length, without NUL bytes.
  void write_texts(std::string_view name, const std::vector<std::string>& texts);

  template <class T>
  Hdf5Array<T> read(std::string_view name) const;
  /// Also checks the shape; -1 stands for any size. The error names both shapes.
  template <class T>
  std::vector<T> read(std::string_view name, const Hdf5Shape& expected) const;
  template <class T>
  T read_scalar(std::string_view name) const {
    return read<T>(name, {}).front();
  }
  /// A single string of any kind, or a list of bytes.
  std::string read_text(std::string_view name) const;
  std::vector<std::string> read_texts(std::string_view name) const;

  bool exists(std::string_view name) const;
  Hdf5Kind kind(std::string_view name) const;
  Hdf5Shape shape(std::string_view name) const;
  /// Names of the children of a group in alphabetical order; "/" is the root.
  std::vector<std::string> children(std::string_view group = "/") const;

  /// Attributes hold small things: one number, truth value or text of less than 60,000 bytes.
  void write_attribute(std::string_view object, std::string_view name, int64_t value);
  void write_attribute(std::string_view object, std::string_view name, double value);
  void write_attribute(std::string_view object, std::string_view name, bool value);
  void write_attribute(std::string_view object, std::string_view name, std::string_view value);
  void write_attribute(std::string_view object, std::string_view name, const char* value) {
    write_attribute(object, name, std::string_view(value));
  }
  void write_attribute(std::string_view object, std::string_view name, int value) {
    write_attribute(object, name, static_cast<int64_t>(value));
  }
  /// T: int64_t, double, bool, std::string.
  template <class T>
  T read_attribute(std::string_view object, std::string_view name) const;
  bool has_attribute(std::string_view object, std::string_view name) const;
  std::vector<std::string> attributes(std::string_view object) const;

 private:
  struct State;
  explicit Hdf5File(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace namm
