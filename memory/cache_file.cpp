#include "memory/cache_file.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "core/errors.h"
#include "core/hdf5.h"
#include "memory/held_tensor.h"

namespace namm::memory {
namespace {

constexpr const char* kFormat = "namm-cache";

const char* type_name(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return "float32";
    case at::kDouble:
      return "float64";
    case at::kBFloat16:
      return "bfloat16";
    case at::kHalf:
      return "float16";
    default:
      TORCH_INTERNAL_ASSERT(false, "keys of type ", type);
  }
}

void write_tensor(Hdf5File& file, const std::string& name, const at::Tensor& x) {
  TORCH_CHECK(!x.is_floating_point() || x.isfinite().all().item<bool>(), "[cache file] ", name,
              " holds numbers that are not finite: the model is broken here, nothing was saved");
  const at::Tensor values = x.to(at::kCPU).contiguous();
  const Hdf5Shape shape(values.sizes().begin(), values.sizes().end());
  const auto write = [&]<class T>(const T* data) {
    file.write<T>(name, shape, std::span<const T>(data, static_cast<size_t>(values.numel())));
  };
  switch (values.scalar_type()) {
    case at::kFloat:
      return write(values.const_data_ptr<float>());
    case at::kDouble:
      return write(values.const_data_ptr<double>());
    case at::kLong:
      return write(values.const_data_ptr<int64_t>());
    default:  // HDF5 has no 16-bit types of ours: their bits
      return write(values.view(at::kShort).const_data_ptr<int16_t>());
  }
}

// Reads one file's content and says what is wrong with it.
class Reader {
 public:
  Reader(const std::filesystem::path& path, const SessionOptions& options)
      : path_(path), options_(options), file_(Hdf5File::open(path)) {}

  [[noreturn]] void fail(const std::string& why) const { throw DataError(path_.string() + ": " + why); }
  void require(bool good, const std::string& object) const {
    if (!good)
      fail(object + " is not what a session of these settings leaves; the file is damaged, save again");
  }

  const Hdf5File& file() const { return file_; }

  at::Tensor tensor(const std::string& name, const Hdf5Shape& shape, at::ScalarType type) const {
    const Hdf5Shape stored = file_.shape(name);
    const auto read = [&]<class T>(at::ScalarType bits) {
      const std::vector<T> values = file_.read<T>(name, shape);
      at::Tensor x = held_empty(stored, at::TensorOptions(bits));
      std::copy(values.begin(), values.end(), x.mutable_data_ptr<T>());
      return x;
    };
    if (type == at::kLong) return read.operator()<int64_t>(at::kLong);
    const at::Tensor numbers = type == at::kFloat    ? read.operator()<float>(at::kFloat)
                               : type == at::kDouble ? read.operator()<double>(at::kDouble)
                                                     : read.operator()<int16_t>(at::kShort).view(type);
    require(numbers.isfinite().all().item<bool>(), name);
    return numbers;
  }
  at::Tensor on_device(const std::string& name, const Hdf5Shape& shape, at::ScalarType type) const {
    return tensor(name, shape, type).to(options_.device);
  }
  at::Tensor not_negative(const std::string& name, const Hdf5Shape& shape) const {
    const at::Tensor x = tensor(name, shape, at::kFloat);
    require((x >= 0).all().item<bool>(), name);
    return x.to(options_.device);
  }
  int64_t attribute(const std::string& object, const std::string& name) const {
    return file_.read_attribute<int64_t>(object, name);
  }

 private:
  const std::filesystem::path& path_;
  const SessionOptions& options_;
  Hdf5File file_;
};

std::string number(size_t i) {
  std::string text = std::to_string(i);
  return std::string(4 - std::min<size_t>(4, text.size()), '0') + text;
}

void write_segment(Hdf5File& file, const std::string& root, const CacheSegment& segment) {
  file.make_group(root);
  file.write_attribute(root, "growing", segment.growing());
  file.write_attribute(root, "first_position", segment.first_position);
  file.write<int64_t>(root + "/lengths", {static_cast<int64_t>(segment.lengths.size())}, segment.lengths);
  const auto packed = [&](const at::Tensor& rows) {
    if (!segment.growing()) return rows;
    std::vector<at::Tensor> heads;
    for (size_t h = 0; h < segment.lengths.size(); ++h)
      heads.push_back(rows.narrow(0, segment.starts[h], segment.lengths[h]));
    return at::cat(heads);
  };
  write_tensor(file, root + "/keys", packed(segment.read_keys.defined() ? segment.read_keys : segment.keys));
  write_tensor(file, root + "/values", packed(segment.values));
  if (segment.growing()) return;
  write_tensor(file, root + "/positions", segment.positions);
  if (segment.places.defined()) write_tensor(file, root + "/places", segment.places);
}

void write_record(Hdf5File& file, const std::string& root, const AttentionRecord& record) {
  file.make_group(root);
  file.write<int64_t>(root + "/known", {static_cast<int64_t>(record.known.size())}, record.known);
  if (record.ema.defined()) write_tensor(file, root + "/ema", record.ema);
  if (record.column_sums.defined()) write_tensor(file, root + "/column_sums", record.column_sums);
  if (record.blocks.empty()) return;
  write_tensor(file, root + "/queries", record.queries());
  write_tensor(file, root + "/log_sum_exp", record.log_sum_exp());
}

}  // namespace

void SavedCache::save(const std::filesystem::path& path, const SessionOptions& options) const {
  TORCH_CHECK(!row.torn, "[cache file] a row whose last step was given up cannot be saved");
  Hdf5File file = Hdf5File::create(path);
  file.write_attribute("/", "format", kFormat);
  file.write_attribute("/", "format_version", format_version);
  std::vector<std::string> names, values;
  for (const auto& [name, value] : identity) {
    names.push_back(name);
    values.push_back(value);
  }
  file.write_texts("identity/names", names);
  file.write_texts("identity/values", values);
  file.write_attribute("/", "dtype", type_name(options.dtype));
  for (const auto& [name, value] : {std::pair<const char*, int64_t>{"layers", options.shape.layers},
                                    {"heads", options.shape.heads},
                                    {"kv_heads", options.shape.kv_heads},
                                    {"head_dim", options.shape.head_dim},
                                    {"tag", row.tag},
                                    {"tokens", row.tokens},
                                    {"updated_tokens", row.updated_tokens},
                                    {"updates", row.updates},
                                    {"excess_tokens", row.excess_tokens}}) {
    file.write_attribute("/", name, value);
  }
  std::vector<int64_t> spans;
  for (const TokenSpan& span : row.protected_spans) spans.insert(spans.end(), {span.begin, span.end});
  file.write<int64_t>("protected_spans", {std::ssize(row.protected_spans), 2}, spans);
  std::vector<int64_t> history;
  for (const auto& kept : row.kept_history) history.insert(history.end(), kept.begin(), kept.end());
  file.write<int64_t>("kept_history", {row.updates, options.shape.layers * options.shape.kv_heads}, history);
  write_tensor(file, "logits", logits);
  for (size_t l = 0; l < row.layers.size(); ++l) {
    const std::string root = "layers/" + number(l);
    const auto& segments = row.layers[l].cache.segments();
    for (size_t s = 0; s < segments.size(); ++s)
      write_segment(file, root + "/segments/" + number(s), *segments[s]);
    write_record(file, root + "/record", row.layers[l].record);
  }
  file.commit();
}

namespace {

CacheIdentity read_identity(const Reader& reader) {
  const std::vector<std::string> names = reader.file().read_texts("identity/names"),
                                 values = reader.file().read_texts("identity/values");
  reader.require(names.size() == values.size(), "identity");
  CacheIdentity identity;
  for (size_t i = 0; i < names.size(); ++i) identity.emplace_back(names[i], values[i]);
  return identity;
}

void require_identity(const Reader& reader, const CacheIdentity& saved, const CacheIdentity& wanted) {
  const auto value = [](const CacheIdentity& identity, const std::string& name) -> std::string {
    for (const auto& [key, text] : identity) {
      if (key == name) return text;
    }
    return "nothing";
  };
  const auto compare = [&](const std::string& name) {
    const std::string has = value(saved, name), asked = value(wanted, name);
    if (has == asked) return;
    reader.fail("the cache was saved with " + name + " = " + has + ", this command has " + asked +
                "; name the same, or read the prompt again");
  };
  for (const auto& [name, text] : wanted) compare(name);
  for (const auto& [name, text] : saved) compare(name);
}

// Positions of a packed segment: every head's rise to the newest token before `end`.
bool are_kept_positions(const at::Tensor& positions, const CacheSegment& segment, int64_t end) {
  const int64_t* data = positions.const_data_ptr<int64_t>();
  for (size_t h = 0; h < segment.lengths.size(); ++h) {
    const int64_t first = segment.starts[h], n = segment.lengths[h];
    if (n < 1 || data[first] < 0 || data[first + n - 1] != end - 1) return false;
    for (int64_t i = first + 1; i < first + n; ++i) {
      if (data[i] <= data[i - 1]) return false;
    }
  }
  return true;
}

// Each head's present places are consecutive up to the newest token before `end`; earlier ones lie before it.
bool are_places(const at::Tensor& places, const CacheSegment& segment, int64_t end) {
  const int64_t* data = places.const_data_ptr<int64_t>();
  const int64_t columns = places.size(1);
  for (size_t h = 0; h < segment.lengths.size(); ++h) {
    const int64_t n = segment.lengths[h];
    for (int64_t i = 0; i < n; ++i) {
      const int64_t* row = data + (segment.starts[h] + i) * columns;
      if (row[0] != end - n + i) return false;
      for (int64_t c = 1; c < columns; ++c) {
        if (row[c] < 0 || row[c] >= end) return false;
      }
    }
  }
  return true;
}

// `end`: position after the segment's newest token.
std::shared_ptr<CacheSegment> read_segment(const Reader& reader, const std::string& root,
                                           const SessionOptions& options, int64_t end) {
  const int64_t heads = options.shape.kv_heads, dim = options.shape.head_dim;
  auto segment = std::make_shared<CacheSegment>();
  segment->lengths = reader.file().read<int64_t>(root + "/lengths", {heads});
  segment->first_position = reader.attribute(root, "first_position");
  const Hdf5Shape shape = reader.file().shape(root + "/keys");
  reader.require(shape.size() == 2 && shape[1] == dim, root + "/keys");
  int64_t rows = 0;
  for (const int64_t n : segment->lengths) {
    reader.require(n >= 1 && n <= shape[0] - rows, root + "/lengths");
    segment->starts.push_back(rows);
    rows += n;
  }
  reader.require(rows == shape[0], root + "/lengths");
  segment->keys = reader.on_device(root + "/keys", shape, options.dtype);
  segment->values = reader.on_device(root + "/values", shape, options.dtype);
  if (reader.file().read_attribute<bool>(root, "growing")) {
    const int64_t n = segment->lengths[0];
    reader.require(std::all_of(segment->lengths.begin(), segment->lengths.end(),
                               [n](int64_t other) { return other == n; }) &&
                       segment->first_position >= 0 && segment->first_position == end - n,
                   root + "/first_position");
    LayerCache grown(options.shape, at::TensorOptions(options.dtype).device(options.device));
    grown.append(segment->keys.view({heads, n, dim}).transpose(0, 1),
                 segment->values.view({heads, n, dim}).transpose(0, 1), segment->first_position);
    return grown.segments().front();
  }
  reader.require(segment->first_position == 0, root + "/first_position");
  const at::Tensor positions = reader.tensor(root + "/positions", {rows}, at::kLong);
  reader.require(are_kept_positions(positions, *segment, end), root + "/positions");
  segment->positions = positions.to(options.device);
  if (const CacheMoves moves = cache_moves(options); moves.moves()) {
    const at::Tensor places =
        reader.tensor(root + "/places", {rows, 1 + moves.remembered_updates}, at::kLong);
    reader.require(are_places(places, *segment, end), root + "/places");
    segment->places = places.to(options.device);
    segment->read_keys = segment->keys;
    segment->keys = rotated(segment->read_keys, segment->positions, segment->places.select(1, 0),
                            moves.inverse_frequencies);
  }
  return segment;
}

std::vector<std::shared_ptr<CacheSegment>> read_segments(const Reader& reader, const std::string& root,
                                                         const SessionOptions& options, int64_t tokens) {
  std::vector<std::shared_ptr<CacheSegment>> segments;
  const size_t count = reader.file().children(root).size();
  reader.require(count > 0, root);
  int64_t end = tokens;
  for (size_t s = count; s-- > 0;) {
    segments.insert(segments.begin(), read_segment(reader, root + "/" + number(s), options, end));
    reader.require(segments.front()->growing() || s == 0, root);
    end = segments.front()->first_position;
  }
  reader.require(!segments.front()->growing() || end == 0, root);
  return segments;
}

at::Tensor averages(const Reader& reader, const std::string& name, const Hdf5Shape& shape,
                    const SpectrogramConfig& config) {
  return config.is_complex ? reader.on_device(name, shape, at::kFloat) : reader.not_negative(name, shape);
}

AttentionRecord read_record(const Reader& reader, const std::string& root, const SessionOptions& options,
                            const Needs& needs, bool records, const RowState& row,
                            const std::vector<int64_t>& lengths) {
  const int64_t heads = options.shape.kv_heads, recent = row.tokens - row.updated_tokens;
  AttentionRecord record;
  record.known = reader.file().read<int64_t>(root + "/known", {row.updates > 0 ? heads : 0});
  int64_t known = 0;
  for (size_t h = 0; h < record.known.size(); ++h) {
    reader.require(record.known[h] == lengths[h] - recent && record.known[h] > 0, root + "/known");
    known += record.known[h];
  }
  if (row.updates > 0 && needs.spectrogram)
    record.ema = averages(reader, root + "/ema", {known, needs.spectrogram->numbers()}, *needs.spectrogram);
  if (row.updates > 0 && needs.column_sums)
    record.column_sums = reader.not_negative(root + "/column_sums", {known});
  const int64_t context = needs.spectrogram ? needs.spectrogram->context_queries() : 0;
  const int64_t queries = recent + std::min(context, row.updated_tokens);
  if (!records || queries == 0) return record;
  record.blocks.push_back(
      {reader.on_device(root + "/queries", {queries, options.shape.heads, options.shape.head_dim},
                        options.dtype),
       reader.on_device(root + "/log_sum_exp", {options.shape.heads, queries}, at::kFloat),
       row.tokens - queries});
  return record;
}

}  // namespace

SavedCache SavedCache::load(const std::filesystem::path& path, const SessionOptions& options,
                            const CacheIdentity& wanted) {
  const Reader reader(path, options);
  const Hdf5File& file = reader.file();
  if (!file.has_attribute("/", "format") || file.read_attribute<std::string>("/", "format") != kFormat)
    reader.fail("is HDF5 but no saved cache; `namm generate --save-cache` writes one");
  if (const int64_t version = reader.attribute("/", "format_version"); version != format_version) {
    reader.fail("saved cache of format version " + std::to_string(version) + ", this program reads version " +
                std::to_string(format_version));
  }
  SavedCache saved;
  saved.identity = read_identity(reader);
  require_identity(reader, saved.identity, wanted);
  for (const auto& [name, value] : {std::pair<const char*, int64_t>{"layers", options.shape.layers},
                                    {"heads", options.shape.heads},
                                    {"kv_heads", options.shape.kv_heads},
                                    {"head_dim", options.shape.head_dim}}) {
    reader.require(reader.attribute("/", name) == value, name);
  }
  reader.require(file.read_attribute<std::string>("/", "dtype") == type_name(options.dtype), "dtype");

  RowState& row = saved.row;
  row.tag = reader.attribute("/", "tag");
  row.tokens = reader.attribute("/", "tokens");
  row.updated_tokens = reader.attribute("/", "updated_tokens");
  row.updates = reader.attribute("/", "updates");
  const UpdateSchedule schedule(options);
  reader.require(row.tokens > 0 && row.tokens < int64_t{1} << 40, "tokens");
  const int64_t updates = schedule.period_tokens > 0 ? row.tokens / schedule.period_tokens : 0;
  reader.require(row.updates == updates && row.updated_tokens == updates * schedule.period_tokens, "updates");
  const int64_t cells = options.shape.layers * options.shape.kv_heads;
  const std::vector<int64_t> history = file.read<int64_t>("kept_history", {row.updates, cells});
  for (int64_t u = 0; u < row.updates; ++u)
    row.kept_history.emplace_back(history.begin() + u * cells, history.begin() + (u + 1) * cells);
  reader.require(std::all_of(history.begin(), history.end(), [](int64_t n) { return n > 0; }),
                 "kept_history");
  row.excess_tokens = reader.attribute("/", "excess_tokens");
  reader.require(row.excess_tokens >= 0, "excess_tokens");
  const std::vector<int64_t> spans = file.read<int64_t>("protected_spans", {-1, 2});
  for (size_t i = 0; i < spans.size(); i += 2) {
    row.protected_spans.push_back({spans[i], spans[i + 1]});
    reader.require(spans[i] >= 0 && spans[i] < spans[i + 1], "protected_spans");
  }
  saved.logits = reader.tensor("logits", {-1}, at::kFloat);
  for (int64_t l = 0; l < options.shape.layers; ++l) {
    const std::string root = "layers/" + number(static_cast<size_t>(l));
    LayerCache cache(options.shape, at::TensorOptions(options.dtype).device(options.device),
                     cache_moves(options), read_segments(reader, root + "/segments", options, row.tokens));
    AttentionRecord record = read_record(reader, root + "/record", options, schedule.needs,
                                         schedule.records(), row, cache.lengths());
    row.layers.push_back({std::move(cache), std::move(record)});
  }
  return saved;
}

}  // namespace namm::memory
