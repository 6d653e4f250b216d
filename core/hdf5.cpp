#include "core/hdf5.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>
#include <new>
#include <optional>

#include <hdf5.h>

#include "core/errors.h"
#include "core/files.h"
#include "core/hdf5_envelope.h"
#include "core/hdf5_handle.h"
#include "core/text.h"

namespace namm {
namespace {

// Debian's HDF5 is not thread-safe: one call at a time, the whole process over.
std::mutex& hdf5_mutex() {
  static auto* const mutex = new std::mutex;  // outlives every static that may own a file
  return *mutex;
}

class Lock {
 public:
  Lock() : lock_(hdf5_mutex()) {
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // errors become exceptions, nothing is printed
    H5Eclear2(H5E_DEFAULT);
  }

 private:
  std::scoped_lock<std::mutex> lock_;
};

// The library's innermost reason.
std::string library_reason() {
  std::string reason;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned n, const H5E_error2_t* error, void* out) -> herr_t {
        if (n == 0 && error->desc != nullptr) {
          *static_cast<std::string*>(out) = error->desc;
        }
        return 0;
      },
      &reason);
  H5Eclear2(H5E_DEFAULT);
  return reason.empty() ? "HDF5 gives no reason" : "HDF5: " + replace_invalid_utf8(reason);
}

std::string shape_text(const Hdf5Shape& shape) {
  std::vector<std::string> sizes;
  for (const int64_t size : shape) {
    sizes.push_back(size < 0 ? "any" : std::to_string(size));
  }
  return "[" + join(sizes, ", ") + "]";
}

template <class T>
hid_t memory_type();
template <>
hid_t memory_type<float>() {
  return H5T_NATIVE_FLOAT;
}
template <>
hid_t memory_type<double>() {
  return H5T_NATIVE_DOUBLE;
}
template <>
hid_t memory_type<int8_t>() {
  return H5T_NATIVE_INT8;
}
template <>
hid_t memory_type<uint8_t>() {
  return H5T_NATIVE_UINT8;
}
template <>
hid_t memory_type<int16_t>() {
  return H5T_NATIVE_INT16;
}
template <>
hid_t memory_type<int32_t>() {
  return H5T_NATIVE_INT32;
}
template <>
hid_t memory_type<int64_t>() {
  return H5T_NATIVE_INT64;
}
template <>
hid_t memory_type<uint64_t>() {
  return H5T_NATIVE_UINT64;
}

template <class T>
hid_t file_type();
template <>
hid_t file_type<float>() {
  return H5T_IEEE_F32LE;
}
template <>
hid_t file_type<double>() {
  return H5T_IEEE_F64LE;
}
template <>
hid_t file_type<int8_t>() {
  return H5T_STD_I8LE;
}
template <>
hid_t file_type<uint8_t>() {
  return H5T_STD_U8LE;
}
template <>
hid_t file_type<int16_t>() {
  return H5T_STD_I16LE;
}
template <>
hid_t file_type<int32_t>() {
  return H5T_STD_I32LE;
}
template <>
hid_t file_type<int64_t>() {
  return H5T_STD_I64LE;
}
template <>
hid_t file_type<uint64_t>() {
  return H5T_STD_U64LE;
}

Hdf5Type string_type(std::size_t size, bool utf8) {
  Hdf5Type type(H5Tcopy(H5T_C_S1));
  H5Tset_size(type.id(), size);
  H5Tset_strpad(type.id(), H5T_STR_NULLPAD);
  H5Tset_cset(type.id(), utf8 ? H5T_CSET_UTF8 : H5T_CSET_ASCII);
  return type;
}

// The truth values of h5py: an enumeration over int8.
Hdf5Type bool_type() {
  Hdf5Type type(H5Tenum_create(H5T_STD_I8LE));
  const int8_t no = 0, yes = 1;
  H5Tenum_insert(type.id(), "FALSE", &no);
  H5Tenum_insert(type.id(), "TRUE", &yes);
  return type;
}

// `value` as T, or nothing where T cannot hold it (fractions for integers, large numbers).
template <class T, class Wide>
std::optional<T> narrow(Wide value) {
  if constexpr (std::is_floating_point_v<T> && std::is_floating_point_v<Wide>) {
    if (std::isfinite(value) && std::fabs(value) > std::numeric_limits<T>::max()) {
      return std::nullopt;
    }
    return static_cast<T>(value);
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(value);
  } else if constexpr (std::is_floating_point_v<Wide>) {
    // Both limits are powers of two and therefore exact.
    const Wide low = static_cast<Wide>(std::numeric_limits<T>::min());
    const Wide high = std::ldexp(Wide{1}, std::numeric_limits<T>::digits);
    if (!(value >= low && value < high) || std::trunc(value) != value) {
      return std::nullopt;
    }
    return static_cast<T>(value);
  } else {
    if (!std::in_range<T>(value)) {
      return std::nullopt;
    }
    return static_cast<T>(value);
  }
}

std::string number_text(double value) {
  return format_text("{}", value);
}
std::string number_text(int64_t value) {
  return std::to_string(value);
}
std::string number_text(uint64_t value) {
  return std::to_string(value);
}

}  // namespace

struct Hdf5File::State {
  std::filesystem::path path;
  Hdf5FileHandle file;
  // What a data set may claim to hold, in bytes: deflate shrinks 1032 times at most.
  uint64_t claim_limit = std::numeric_limits<uint64_t>::max();
  bool writing = false;

  ~State() {
    const Lock lock;
    file.reset();
  }

  // Of a checked file's bytes, which HDF5 copies.
  static std::unique_ptr<State> of_image(const std::string& bytes, const std::filesystem::path& path);

  [[noreturn]] void fail(std::string_view object, const std::string& text) const {
    throw DataError(path.string() + ": " + (object.empty() ? "" : std::string(object) + ": ") + text);
  }

  void expect_writing() const {
    if (!file.valid() || !writing) {
      throw std::logic_error(path.string() + ": the file is not open for writing");
    }
  }

  // "/a/b" as "a/b"; "/" and "" as "/".
  std::string clean(std::string_view name) const {
    if (!file.valid()) {
      throw std::logic_error(path.string() + ": the file is closed");
    }
    while (name.starts_with('/')) {
      name.remove_prefix(1);
    }
    if (name.find('\0') != std::string_view::npos) {
      fail(name.substr(0, name.find('\0')), "a name with a NUL byte");
    }
    return name.empty() ? "/" : std::string(name);
  }

  bool exists(const std::string& name) const {
    if (name == "/") {
      return true;
    }
    for (std::size_t end = name.find('/');; end = name.find('/', end + 1)) {
      if (H5Lexists(file.id(), name.substr(0, end).c_str(), H5P_DEFAULT) <= 0) {
        H5Eclear2(H5E_DEFAULT);
        return false;
      }
      if (end == std::string::npos) {
        const bool resolves = H5Oexists_by_name(file.id(), name.c_str(), H5P_DEFAULT) > 0;
        H5Eclear2(H5E_DEFAULT);
        return resolves;
      }
    }
  }

  Hdf5Object open_object(const std::string& name) const {
    if (!exists(name)) {
      fail(name, "is missing");
    }
    Hdf5Object object(H5Oopen(file.id(), name.c_str(), H5P_DEFAULT));
    if (!object.valid()) {
      fail(name, "cannot be opened: " + library_reason());
    }
    return object;
  }

  Hdf5DataSet open_data_set(const std::string& name) const {
    if (!exists(name)) {
      fail(name, "the data set is missing");
    }
    Hdf5DataSet data(H5Dopen2(file.id(), name.c_str(), H5P_DEFAULT));
    if (!data.valid()) {
      const bool group =
          H5Iget_type(Hdf5Object(H5Oopen(file.id(), name.c_str(), H5P_DEFAULT)).id()) == H5I_GROUP;
      fail(name, group ? "is a group, a data set is needed" : "cannot be opened: " + library_reason());
    }
    return data;
  }

  Hdf5Shape shape_of(hid_t space, const std::string& name) const {
    const int rank = H5Sget_simple_extent_ndims(space);
    if (rank < 0) {
      fail(name, "its shape cannot be read: " + library_reason());
    }
    std::vector<hsize_t> sizes(static_cast<std::size_t>(rank));
    if (rank > 0 && H5Sget_simple_extent_dims(space, sizes.data(), nullptr) < 0) {
      fail(name, "its shape cannot be read: " + library_reason());
    }
    return {sizes.begin(), sizes.end()};
  }

  // Number of values; refuses claims that a file of this length cannot hold before memory is taken for them.
  std::size_t count_of(const Hdf5Shape& shape, std::size_t value_bytes, const std::string& name) const {
    uint64_t count = 1;
    const bool empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
    for (const int64_t size : shape) {
      if (!empty && (size < 0 || static_cast<uint64_t>(size) > claim_limit / count)) {
        fail(name, "claims the shape " + shape_text(shape) + ", more than the file can hold");
      }
      count *= static_cast<uint64_t>(size);
    }
    if (!empty && value_bytes > 0 && count > claim_limit / value_bytes) {
      fail(name, "claims the shape " + shape_text(shape) + ", more than the file can hold");
    }
    return empty ? 0 : static_cast<std::size_t>(count);
  }

  template <class Wide, class T>
  void read_wide(hid_t data, hid_t type, const std::string& name, std::vector<T>& out) const {
    std::vector<Wide> wide(out.size());
    if (H5Dread(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, wide.data()) < 0) {
      fail(name, "cannot be read: " + library_reason());
    }
    for (std::size_t i = 0; i < wide.size(); ++i) {
      const std::optional<T> value = narrow<T>(wide[i]);
      if (!value) {
        fail(name, "the value " + number_text(wide[i]) + " does not fit the type that is needed");
      }
      out[i] = *value;
    }
  }

  template <class T>
  Hdf5Array<T> read(const std::string& name) const {
    const Hdf5DataSet data = open_data_set(name);
    const Hdf5Space space(H5Dget_space(data.id()));
    Hdf5Type type(H5Dget_type(data.id()));
    if (!space.valid() || !type.valid()) {
      fail(name, "cannot be opened: " + library_reason());
    }
    if (H5Sget_simple_extent_type(space.id()) == H5S_NULL) {
      fail(name, "holds nothing, numbers are needed");
    }
    Hdf5Array<T> array;
    array.shape = shape_of(space.id(), name);
    array.values.resize(count_of(array.shape, H5Tget_size(type.id()), name));
    if (array.values.empty()) {
      return array;
    }
    const H5T_class_t kind = H5Tget_class(type.id());
    if (kind == H5T_ENUM) {
      // HDF5 does not convert an enumeration to a plain integer: its bytes are read and converted as such.
      const Hdf5Type base(H5Tget_super(type.id()));
      const std::size_t size = std::max(H5Tget_size(type.id()), sizeof(int64_t));
      std::vector<char> raw(array.values.size() * size);
      if (H5Dread(data.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, raw.data()) < 0 ||
          H5Tconvert(base.id(), H5T_NATIVE_INT64, array.values.size(), raw.data(), nullptr, H5P_DEFAULT) <
              0) {
        fail(name, "cannot be read: " + library_reason());
      }
      for (std::size_t i = 0; i < array.values.size(); ++i) {
        int64_t value = 0;
        std::copy_n(raw.data() + i * sizeof value, sizeof value, reinterpret_cast<char*>(&value));
        const std::optional<T> narrowed = narrow<T>(value);
        if (!narrowed) {
          fail(name, "the value " + number_text(value) + " does not fit the type that is needed");
        }
        array.values[i] = *narrowed;
      }
    } else if (kind == H5T_INTEGER && H5Tget_sign(type.id()) == H5T_SGN_NONE) {
      read_wide<uint64_t>(data.id(), H5T_NATIVE_UINT64, name, array.values);
    } else if (kind == H5T_INTEGER) {
      read_wide<int64_t>(data.id(), H5T_NATIVE_INT64, name, array.values);
    } else if (kind == H5T_FLOAT && H5Tequal(type.id(), memory_type<T>()) > 0) {
      if (H5Dread(data.id(), memory_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, array.values.data()) < 0) {
        fail(name, "cannot be read: " + library_reason());
      }
    } else if (kind == H5T_FLOAT) {
      read_wide<double>(data.id(), H5T_NATIVE_DOUBLE, name, array.values);
    } else {
      fail(name, kind == H5T_STRING ? "holds text, numbers are needed" : "holds no plain numbers");
    }
    return array;
  }

  // Strings of a data set or attribute; `get` reads into memory of the given type.
  template <class Get>
  std::vector<std::string> read_strings(hid_t type, std::size_t count, const std::string& name,
                                        const Get& get) const {
    if (H5Tget_class(type) != H5T_STRING) {
      fail(name, "holds no text");
    }
    std::vector<std::string> texts;
    if (count == 0) {
      return texts;
    }
    if (H5Tis_variable_str(type) > 0) {
      std::vector<char*> pointers(count, nullptr);
      Hdf5Type memory(H5Tcopy(H5T_C_S1));
      H5Tset_size(memory.id(), H5T_VARIABLE);
      H5Tset_cset(memory.id(), H5Tget_cset(type));
      if (get(memory.id(), pointers.data()) < 0) {
        fail(name, "cannot be read: " + library_reason());
      }
      for (char* const pointer : pointers) {
        texts.emplace_back(pointer == nullptr ? "" : pointer);
        H5free_memory(pointer);
      }
      return texts;
    }
    const std::size_t size = H5Tget_size(type);
    std::string raw(count * size, '\0');
    if (get(type, raw.data()) < 0) {
      fail(name, "cannot be read: " + library_reason());
    }
    // Null padding of arrays and null termination are no part of the text; a single null-padded text is taken
    // whole.
    const H5T_str_t padding = H5Tget_strpad(type);
    for (std::size_t i = 0; i < count; ++i) {
      std::string text = raw.substr(i * size, size);
      if (padding == H5T_STR_NULLTERM) {
        text = text.substr(0, text.find('\0'));
      } else if (count > 1) {
        text.erase(text.find_last_not_of(padding == H5T_STR_SPACEPAD ? ' ' : '\0') + 1);
      }
      texts.push_back(std::move(text));
    }
    return texts;
  }

  void make_parents(const std::string& name) {
    if (name == "/" || name.ends_with('/') || name.find("//") != std::string::npos) {
      fail(name, "is no name for a data set");
    }
    if (exists(name)) {
      fail(name, "exists already");
    }
    if (const std::size_t slash = name.rfind('/'); slash != std::string::npos) {
      make_group(name.substr(0, slash));
    }
  }

  void make_group(const std::string& name) {
    if (exists(name)) {
      return;
    }
    const Hdf5Properties properties(H5Pcreate(H5P_LINK_CREATE));
    H5Pset_create_intermediate_group(properties.id(), 1);
    const Hdf5Group group(H5Gcreate2(file.id(), name.c_str(), properties.id(), H5P_DEFAULT, H5P_DEFAULT));
    if (!group.valid()) {
      fail(name, "the group cannot be made: " + library_reason());
    }
  }

  void write_data(const std::string& name, hid_t memory, hid_t stored, const Hdf5Space& space,
                  const Hdf5Properties& create, const void* values) {
    const Hdf5DataSet data(
        H5Dcreate2(file.id(), name.c_str(), stored, space.id(), H5P_DEFAULT, create.id(), H5P_DEFAULT));
    if (!data.valid() ||
        (values != nullptr && H5Dwrite(data.id(), memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)) {
      fail(name, "cannot be written: " + library_reason());
    }
  }

  void write_attribute(std::string_view object_name, std::string_view name, hid_t memory, hid_t stored,
                       const void* value, bool empty = false) {
    const std::string clean_name = clean(object_name);
    const Hdf5Object object = open_object(clean_name);
    const Hdf5Space space(H5Screate(empty ? H5S_NULL : H5S_SCALAR));
    const Hdf5Attribute attribute(
        H5Acreate2(object.id(), std::string(name).c_str(), stored, space.id(), H5P_DEFAULT, H5P_DEFAULT));
    if (!attribute.valid() || (!empty && H5Awrite(attribute.id(), memory, value) < 0)) {
      fail(clean_name + "@" + std::string(name), "cannot be written: " + library_reason());
    }
  }

  Hdf5Attribute open_attribute(const std::string& object_name, const std::string& name) const {
    const Hdf5Object object = open_object(object_name);
    if (H5Aexists(object.id(), name.c_str()) <= 0) {
      fail(object_name, "the attribute '" + name + "' is missing");
    }
    Hdf5Attribute attribute(H5Aopen(object.id(), name.c_str(), H5P_DEFAULT));
    if (!attribute.valid()) {
      fail(object_name + "@" + name, "cannot be opened: " + library_reason());
    }
    return attribute;
  }
};

namespace {

// Data sets from this size on are chunked and compressed. Large ones of floating-point numbers are not: their
// bits hardly shrink, and a covariance matrix or a cache would take seconds.
constexpr std::size_t compress_from = 4096;
constexpr std::size_t compress_floats_to = std::size_t{1} << 20;
constexpr std::size_t chunk_bytes = std::size_t{1} << 20;

Hdf5Properties creation_properties(const Hdf5Shape& shape, std::size_t value_bytes, std::size_t bytes,
                                   bool is_floating) {
  Hdf5Properties create(H5Pcreate(H5P_DATASET_CREATE));
  H5Pset_obj_track_times(create.id(), false);  // same content, same bytes
  if (bytes < compress_from || (is_floating && bytes > compress_floats_to)) {
    return create;
  }
  // Whole rows of the last dimensions as long as they fit into a chunk.
  std::vector<hsize_t> chunk(shape.begin(), shape.end());
  std::size_t inner = value_bytes;
  for (std::size_t i = chunk.size(); i-- > 0;) {
    chunk[i] = std::min<hsize_t>(chunk[i], std::max<std::size_t>(1, chunk_bytes / inner));
    inner *= chunk[i];
  }
  H5Pset_chunk(create.id(), static_cast<int>(chunk.size()), chunk.data());
  H5Pset_shuffle(create.id());
  H5Pset_deflate(create.id(), 4);
  return create;
}

Hdf5Properties memory_file_access() {
  Hdf5Properties access(H5Pcreate(H5P_FILE_ACCESS));
  H5Pset_fapl_core(access.id(), std::size_t{1} << 20, 0);
  H5Pset_fclose_degree(access.id(), H5F_CLOSE_STRONG);
  return access;
}

// HDF5 takes two files of one name for the same file, so each gets its own.
std::string unique_name(const std::filesystem::path& path) {
  static std::atomic<uint64_t> counter{0};
  return path.string() + "#" + std::to_string(counter++);
}

}  // namespace

Hdf5File::Hdf5File(std::unique_ptr<State> state) : state_(std::move(state)) {}
Hdf5File::Hdf5File(Hdf5File&&) noexcept = default;
Hdf5File& Hdf5File::operator=(Hdf5File&&) noexcept = default;
Hdf5File::~Hdf5File() = default;

const std::filesystem::path& Hdf5File::path() const {
  return state_->path;
}

Hdf5File Hdf5File::create(const std::filesystem::path& path) {
  auto state = std::make_unique<State>();
  state->path = path;
  state->writing = true;
  const Lock lock;
  const Hdf5Properties create(H5Pcreate(H5P_FILE_CREATE));
  H5Pset_userblock(create.id(), envelope_bytes);
  const Hdf5Properties access = memory_file_access();
  state->file = Hdf5FileHandle(H5Fcreate(unique_name(path).c_str(), H5F_ACC_TRUNC, create.id(), access.id()));
  if (!state->file.valid()) {
    throw InfrastructureError(path.string() + ": cannot be made: " + library_reason());
  }
  return Hdf5File(std::move(state));
}

std::unique_ptr<Hdf5File::State> Hdf5File::State::of_image(const std::string& bytes,
                                                           const std::filesystem::path& path) {
  auto state = std::make_unique<State>();
  state->path = path;
  state->claim_limit = 1100 * (bytes.size() + 4096);
  const Lock lock;
  const Hdf5Properties access = memory_file_access();
  // HDF5 copies the bytes; its signature only lacks the const.
  if (H5Pset_file_image(access.id(), const_cast<char*>(bytes.data()), bytes.size()) < 0) {
    throw InfrastructureError(path.string() + ": cannot be opened: " + library_reason());
  }
  state->file = Hdf5FileHandle(H5Fopen(unique_name(path).c_str(), H5F_ACC_RDONLY, access.id()));
  if (!state->file.valid()) {
    throw DataError(path.string() + ": truncated or damaged, or no HDF5 file: " + library_reason());
  }
  return state;
}

Hdf5File Hdf5File::open(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  check_hdf5_bytes(bytes, path, false);
  return Hdf5File(State::of_image(bytes, path));
}

Hdf5File Hdf5File::open_foreign(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  check_hdf5_bytes(bytes, path, true);
  return Hdf5File(State::of_image(bytes, path));
}

bool Hdf5File::intact(const std::filesystem::path& path) noexcept {
  try {
    return check_envelope(read_file(path)) == EnvelopeState::right;
  } catch (const std::exception&) {
    return false;
  }
}

void Hdf5File::commit() {
  std::string bytes;
  {
    const Lock lock;
    state_->expect_writing();
    const hid_t file = state_->file.id();
    const ssize_t size = H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 ? -1 : H5Fget_file_image(file, nullptr, 0);
    if (size <= 0) {
      throw InfrastructureError(state_->path.string() + ": cannot be written: " + library_reason());
    }
    bytes.resize(static_cast<std::size_t>(size));
    if (H5Fget_file_image(file, bytes.data(), bytes.size()) != size) {
      throw InfrastructureError(state_->path.string() + ": cannot be written: " + library_reason());
    }
  }
  // The image begins behind the user block, although its addresses count from the start of the file.
  bytes.insert(0, make_envelope(bytes));
  write_atomically(state_->path, bytes);
  const Lock lock;
  state_->file.reset();
}

void Hdf5File::make_group(std::string_view name) {
  const Lock lock;
  state_->expect_writing();
  state_->make_group(state_->clean(name));
}

template <class T>
void Hdf5File::write(std::string_view name, const Hdf5Shape& shape, std::span<const T> values) {
  const Lock lock;
  state_->expect_writing();
  const std::string clean = state_->clean(name);
  std::size_t count = 1;
  for (const int64_t size : shape) {
    count *= static_cast<std::size_t>(size);
  }
  if (std::any_of(shape.begin(), shape.end(), [](int64_t size) { return size < 0; }) ||
      count != values.size()) {
    throw std::invalid_argument(state_->path.string() + ": " + clean + ": shape " + shape_text(shape) +
                                " for " + std::to_string(values.size()) + " values");
  }
  state_->make_parents(clean);
  const std::vector<hsize_t> sizes(shape.begin(), shape.end());
  const Hdf5Space space(sizes.empty()
                            ? H5Screate(H5S_SCALAR)
                            : H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr));
  state_->write_data(clean, memory_type<T>(), file_type<T>(), space,
                     creation_properties(shape, sizeof(T), values.size_bytes(), std::is_floating_point_v<T>),
                     values.empty() ? nullptr : values.data());
}

void Hdf5File::write_text(std::string_view name, std::string_view text) {
  const Lock lock;
  state_->expect_writing();
  const std::string clean = state_->clean(name);
  state_->make_parents(clean);
  const Hdf5Type type = string_type(std::max<std::size_t>(1, text.size()), !first_invalid_utf8(text));
  const Hdf5Space space(H5Screate(text.empty() ? H5S_NULL : H5S_SCALAR));
  state_->write_data(clean, type.id(), type.id(), space, creation_properties({}, 1, 0, false),
                     text.empty() ? nullptr : text.data());
}

void Hdf5File::write_texts(std::string_view name, const std::vector<std::string>& texts) {
  const Lock lock;
  state_->expect_writing();
  const std::string clean = state_->clean(name);
  state_->make_parents(clean);
  std::vector<const char*> pointers;
  bool utf8 = true;
  for (const std::string& text : texts) {
    if (text.find('\0') != std::string::npos) {
      throw std::invalid_argument(state_->path.string() + ": " + clean + ": a text with a NUL byte");
    }
    utf8 = utf8 && !first_invalid_utf8(text);
    pointers.push_back(text.c_str());
  }
  Hdf5Type type(H5Tcopy(H5T_C_S1));
  H5Tset_size(type.id(), H5T_VARIABLE);
  H5Tset_cset(type.id(), utf8 ? H5T_CSET_UTF8 : H5T_CSET_ASCII);
  const hsize_t size = texts.size();
  const Hdf5Space space(H5Screate_simple(1, &size, nullptr));
  state_->write_data(clean, type.id(), type.id(), space, creation_properties({}, 1, 0, false),
                     texts.empty() ? nullptr : static_cast<const void*>(pointers.data()));
}

template <class T>
Hdf5Array<T> Hdf5File::read(std::string_view name) const {
  const Lock lock;
  const std::string clean = state_->clean(name);
  try {
    return state_->read<T>(clean);
  } catch (const std::bad_alloc&) {
    state_->fail(clean, "is larger than the memory of this machine");
  }
}

template <class T>
std::vector<T> Hdf5File::read(std::string_view name, const Hdf5Shape& expected) const {
  const Hdf5Shape found = shape(name);
  bool same = found.size() == expected.size();
  for (std::size_t i = 0; same && i < found.size(); ++i) {
    same = expected[i] == -1 || expected[i] == found[i];
  }
  if (!same) {
    state_->fail(name, "has shape " + shape_text(found) + ", expected " + shape_text(expected));
  }
  return read<T>(name).values;
}

std::string Hdf5File::read_text(std::string_view name) const {
  const Lock lock;
  const std::string clean = state_->clean(name);
  const Hdf5DataSet data = state_->open_data_set(clean);
  const Hdf5Type type(H5Dget_type(data.id()));
  const Hdf5Space space(H5Dget_space(data.id()));
  if (H5Tget_class(type.id()) == H5T_INTEGER && H5Tget_size(type.id()) == 1) {
    const Hdf5Array<uint8_t> bytes = state_->read<uint8_t>(clean);
    return {bytes.values.begin(), bytes.values.end()};
  }
  if (H5Sget_simple_extent_type(space.id()) == H5S_NULL && H5Tget_class(type.id()) == H5T_STRING) {
    return "";
  }
  const std::size_t count =
      state_->count_of(state_->shape_of(space.id(), clean), H5Tget_size(type.id()), clean);
  if (count != 1) {
    state_->fail(clean, "holds " + std::to_string(count) + " values, one text is needed");
  }
  return state_
      ->read_strings(type.id(), 1, clean,
                     [&](hid_t memory, void* out) {
                       return H5Dread(data.id(), memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, out);
                     })
      .front();
}

std::vector<std::string> Hdf5File::read_texts(std::string_view name) const {
  const Lock lock;
  const std::string clean = state_->clean(name);
  const Hdf5DataSet data = state_->open_data_set(clean);
  const Hdf5Type type(H5Dget_type(data.id()));
  const Hdf5Space space(H5Dget_space(data.id()));
  const Hdf5Shape shape = state_->shape_of(space.id(), clean);
  if (shape.size() != 1) {
    state_->fail(clean, "has shape " + shape_text(shape) + ", a list of texts is needed");
  }
  const std::size_t count = state_->count_of(shape, H5Tget_size(type.id()), clean);
  return state_->read_strings(type.id(), count, clean, [&](hid_t memory, void* out) {
    return H5Dread(data.id(), memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, out);
  });
}

bool Hdf5File::exists(std::string_view name) const {
  const Lock lock;
  return state_->exists(state_->clean(name));
}

Hdf5Kind Hdf5File::kind(std::string_view name) const {
  const Lock lock;
  const std::string clean = state_->clean(name);
  const Hdf5Object object = state_->open_object(clean);
  if (H5Iget_type(object.id()) == H5I_GROUP) {
    return Hdf5Kind::group;
  }
  if (H5Iget_type(object.id()) != H5I_DATASET) {
    return Hdf5Kind::other;
  }
  const Hdf5Type type(H5Dget_type(object.id()));
  switch (H5Tget_class(type.id())) {
    case H5T_INTEGER:
    case H5T_ENUM:
      return Hdf5Kind::integers;
    case H5T_FLOAT:
      return Hdf5Kind::floats;
    case H5T_STRING:
      return Hdf5Kind::text;
    default:
      return Hdf5Kind::other;
  }
}

Hdf5Shape Hdf5File::shape(std::string_view name) const {
  const Lock lock;
  const std::string clean = state_->clean(name);
  const Hdf5DataSet data = state_->open_data_set(clean);
  const Hdf5Space space(H5Dget_space(data.id()));
  return state_->shape_of(space.id(), clean);
}

std::vector<std::string> Hdf5File::children(std::string_view group) const {
  const Lock lock;
  const std::string clean = state_->clean(group);
  const Hdf5Object object = state_->open_object(clean);
  if (H5Iget_type(object.id()) != H5I_GROUP) {
    state_->fail(clean, "is a data set, a group is needed");
  }
  std::vector<std::string> names;
  const herr_t status = H5Literate(
      object.id(), H5_INDEX_NAME, H5_ITER_INC, nullptr,
      [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
        static_cast<std::vector<std::string>*>(out)->emplace_back(name);
        return 0;
      },
      &names);
  if (status < 0) {
    state_->fail(clean, "its children cannot be listed: " + library_reason());
  }
  std::sort(names.begin(), names.end());
  return names;
}

void Hdf5File::write_attribute(std::string_view object, std::string_view name, int64_t value) {
  const Lock lock;
  state_->expect_writing();
  state_->write_attribute(object, name, H5T_NATIVE_INT64, H5T_STD_I64LE, &value);
}

void Hdf5File::write_attribute(std::string_view object, std::string_view name, double value) {
  const Lock lock;
  state_->expect_writing();
  state_->write_attribute(object, name, H5T_NATIVE_DOUBLE, H5T_IEEE_F64LE, &value);
}

void Hdf5File::write_attribute(std::string_view object, std::string_view name, bool value) {
  const Lock lock;
  state_->expect_writing();
  const Hdf5Type type = bool_type();
  const int8_t byte = value ? 1 : 0;
  state_->write_attribute(object, name, type.id(), type.id(), &byte);
}

void Hdf5File::write_attribute(std::string_view object, std::string_view name, std::string_view value) {
  if (value.size() >= 60'000) {
    throw std::invalid_argument(state_->path.string() + ": attribute " + std::string(name) + ": " +
                                std::to_string(value.size()) +
                                " bytes; long texts are data sets (write_text)");
  }
  const Lock lock;
  state_->expect_writing();
  const Hdf5Type type = string_type(std::max<std::size_t>(1, value.size()), !first_invalid_utf8(value));
  state_->write_attribute(object, name, type.id(), type.id(), value.data(), value.empty());
}

template <class T>
T Hdf5File::read_attribute(std::string_view object, std::string_view name) const {
  const Lock lock;
  const std::string clean = state_->clean(object);
  const std::string shown = clean + "@" + std::string(name);
  const Hdf5Attribute attribute = state_->open_attribute(clean, std::string(name));
  const Hdf5Type type(H5Aget_type(attribute.id()));
  const Hdf5Space space(H5Aget_space(attribute.id()));
  const bool empty = H5Sget_simple_extent_type(space.id()) == H5S_NULL;
  if (!empty && H5Sget_simple_extent_npoints(space.id()) != 1) {
    state_->fail(shown, "holds more than one value");
  }
  const H5T_class_t kind = H5Tget_class(type.id());
  if constexpr (std::is_same_v<T, std::string>) {
    if (kind != H5T_STRING) {
      state_->fail(shown, "holds a number, a text is needed");
    }
    if (empty) {
      return "";
    }
    return state_
        ->read_strings(type.id(), 1, shown,
                       [&](hid_t memory, void* out) { return H5Aread(attribute.id(), memory, out); })
        .front();
  } else {
    const bool number =
        kind == H5T_INTEGER || kind == H5T_ENUM || (kind == H5T_FLOAT && std::is_same_v<T, double>);
    if (!number || empty) {
      state_->fail(shown, kind == H5T_STRING  ? "holds a text, a number is needed"
                          : kind == H5T_FLOAT ? "holds a fraction, an integer is needed"
                                              : "holds no number");
    }
    herr_t status = 0;
    T result{};
    if (kind == H5T_FLOAT) {
      double value = 0;
      status = H5Aread(attribute.id(), H5T_NATIVE_DOUBLE, &value);
      result = static_cast<T>(value);
    } else if (kind == H5T_ENUM) {
      const Hdf5Type base(H5Tget_super(type.id()));
      const std::size_t size = H5Tget_size(type.id());
      std::vector<char> raw(std::max(size, sizeof(int64_t)));
      status = H5Aread(attribute.id(), type.id(), raw.data());
      if (status >= 0) {
        status = H5Tconvert(base.id(), H5T_NATIVE_INT64, 1, raw.data(), nullptr, H5P_DEFAULT);
      }
      int64_t value = 0;
      std::copy_n(raw.data(), sizeof value, reinterpret_cast<char*>(&value));
      result = static_cast<T>(value);
    } else {
      int64_t value = 0;
      status = H5Aread(attribute.id(), H5T_NATIVE_INT64, &value);
      result = static_cast<T>(value);
    }
    if (status < 0) {
      state_->fail(shown, "cannot be read: " + library_reason());
    }
    return result;
  }
}

bool Hdf5File::has_attribute(std::string_view object, std::string_view name) const {
  const Lock lock;
  const Hdf5Object opened = state_->open_object(state_->clean(object));
  return H5Aexists(opened.id(), std::string(name).c_str()) > 0;
}

std::vector<std::string> Hdf5File::attributes(std::string_view object) const {
  const Lock lock;
  const std::string clean = state_->clean(object);
  const Hdf5Object opened = state_->open_object(clean);
  std::vector<std::string> names;
  const herr_t status = H5Aiterate2(
      opened.id(), H5_INDEX_NAME, H5_ITER_INC, nullptr,
      [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
        static_cast<std::vector<std::string>*>(out)->emplace_back(name);
        return 0;
      },
      &names);
  if (status < 0) {
    state_->fail(clean, "its attributes cannot be listed: " + library_reason());
  }
  std::sort(names.begin(), names.end());
  return names;
}

#define NAMM_HDF5_TYPE(T)                                                                   \
  template void Hdf5File::write<T>(std::string_view, const Hdf5Shape&, std::span<const T>); \
  template Hdf5Array<T> Hdf5File::read<T>(std::string_view) const;                          \
  template std::vector<T> Hdf5File::read<T>(std::string_view, const Hdf5Shape&) const;
NAMM_HDF5_TYPE(float)
NAMM_HDF5_TYPE(double)
NAMM_HDF5_TYPE(int8_t)
NAMM_HDF5_TYPE(uint8_t)
NAMM_HDF5_TYPE(int16_t)
NAMM_HDF5_TYPE(int32_t)
NAMM_HDF5_TYPE(int64_t)
NAMM_HDF5_TYPE(uint64_t)
#undef NAMM_HDF5_TYPE

template int64_t Hdf5File::read_attribute<int64_t>(std::string_view, std::string_view) const;
template double Hdf5File::read_attribute<double>(std::string_view, std::string_view) const;
template bool Hdf5File::read_attribute<bool>(std::string_view, std::string_view) const;
template std::string Hdf5File::read_attribute<std::string>(std::string_view, std::string_view) const;

}  // namespace namm
