#include "memory/memory_file.h"

#include <cmath>

#include "core/errors.h"
#include "core/hdf5.h"
#include "core/sha256.h"

namespace namm::memory {
namespace {

constexpr const char* kFormat = "namm-memory";

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& why) {
  throw DataError(path.string() + ": " + why);
}

void require_parameter_count(const MemoryFile& file, const std::filesystem::path& path) {
  const int64_t n = file.config.parameters();
  if (static_cast<int64_t>(file.parameters.size()) != n) {
    fail(path, "the memory has " + std::to_string(file.parameters.size()) +
                   " parameters, its constants ask for " + std::to_string(n));
  }
  if (file.statistics.count > 0 && file.statistics.features() != file.config.spectral_count()) {
    fail(path, "statistics of " + std::to_string(file.statistics.features()) +
                   " features, its constants ask for " + std::to_string(file.config.spectral_count()));
  }
}

}  // namespace

void MemoryFile::save(const std::filesystem::path& path) const {
  require_parameter_count(*this, path);
  Hdf5File file = Hdf5File::create(path);
  file.write_attribute("/", "format", kFormat);
  file.write_attribute("/", "format_version", format_version);
  file.write_text("constants", to_yaml(stored_form(write_config(config))));
  file.write<float>("parameters/values", {static_cast<int64_t>(parameters.size())}, parameters);
  std::vector<std::string> names;
  std::vector<int64_t> table;
  for (const ParameterBlock& block : config.layout()) {
    names.push_back(block.name);
    table.insert(table.end(), {block.offset, block.rows, block.cols});
  }
  file.write_texts("parameters/names", names);
  file.write<int64_t>("parameters/offset_rows_cols", {static_cast<int64_t>(names.size()), 3}, table);
  file.write_scalar<int64_t>("statistics/count", statistics.count);
  file.write<double>("statistics/mean", {statistics.features()}, statistics.mean);
  file.write<double>("statistics/m2", {statistics.features()}, statistics.m2);
  file.make_group("provenance");
  std::vector<std::string> keys, values;
  for (const auto& [key, value] : provenance) {
    keys.push_back(key);
    values.push_back(value);
  }
  file.write_texts("provenance/keys", keys);
  file.write_texts("provenance/values", values);
  file.write_text("sha256", sha256());
  file.commit();
}

MemoryFile MemoryFile::load(const std::filesystem::path& path) {
  const Hdf5File file = Hdf5File::open(path);
  if (!file.has_attribute("/", "format") || file.read_attribute<std::string>("/", "format") != kFormat) {
    fail(path, "is HDF5 but no memory file; `namm run` leaves one as memory.h5 and `namm export` writes one");
  }
  const int64_t version = file.read_attribute<int64_t>("/", "format_version");
  if (version != format_version) {
    fail(path, "memory file of format version " + std::to_string(version) + ", this program reads version " +
                   std::to_string(format_version));
  }
  MemoryFile memory;
  try {
    memory.config = read_config<NammConfig>(
        ConfigDocument::from_text(file.read_text("constants"), path.string() + ": constants"));
  } catch (const ConfigError& error) {
    throw DataError(error.what());
  }
  memory.parameters = file.read<float>("parameters/values", {-1});
  memory.statistics.count = file.read_scalar<int64_t>("statistics/count");
  memory.statistics.mean = file.read<double>("statistics/mean", {-1});
  memory.statistics.m2 = file.read<double>("statistics/m2", {memory.statistics.features()});
  if (memory.statistics.count == 0 && !memory.statistics.mean.empty())
    fail(path, "statistics of no value that are not empty");
  try {
    memory.statistics = FeatureStatistics::from_values(memory.statistics.to_values());
  } catch (const DataError& error) {
    fail(path, error.what());
  }
  require_parameter_count(memory, path);

  const std::vector<ParameterBlock> layout = memory.config.layout();
  const std::vector<std::string> names = file.read_texts("parameters/names");
  const std::vector<int64_t> table =
      file.read<int64_t>("parameters/offset_rows_cols", {static_cast<int64_t>(names.size()), 3});
  std::vector<ParameterBlock> stored;
  for (size_t i = 0; i < names.size(); ++i)
    stored.push_back({names[i], table[3 * i], table[3 * i + 1], table[3 * i + 2]});
  if (stored != layout) fail(path, "its parameter table is not the one that its constants give");
  for (const float value : memory.parameters) {
    if (!std::isfinite(value)) fail(path, "parameters that are not finite");
  }

  const std::vector<std::string> keys = file.read_texts("provenance/keys"),
                                 values = file.read_texts("provenance/values");
  if (keys.size() != values.size())
    fail(path, "provenance of " + std::to_string(keys.size()) + " keys and " + std::to_string(values.size()) +
                   " values");
  for (size_t i = 0; i < keys.size(); ++i) memory.provenance[keys[i]] = values[i];
  if (file.read_text("sha256") != memory.sha256()) {
    fail(path, "its content does not match its checksum; the file is damaged, take it from its source again");
  }
  return memory;
}

void MemoryFile::require_same_network(const NammConfig& wanted, const std::string& where) const {
  NammConfig here = config;
  // These say when, how many and where they stand, not what the parameters mean.
  here.period_tokens = wanted.period_tokens;
  here.heads = wanted.heads;
  here.cache_cap = wanted.cache_cap;
  here.positions = wanted.positions;
  here.mix.sinks = wanted.mix.sinks;
  here.mix.recent_tokens = wanted.mix.recent_tokens;
  here.mix.keep_fraction = wanted.mix.keep_fraction;
  // A scorer that neither has does not count, nor a model that the parameters do not depend on.
  if (here.scorer == wanted.scorer && here.scorer != "bam") here.bam = wanted.bam;
  if (!here.has_own_transformer() && !wanted.has_own_transformer()) here.transformer = wanted.transformer;
  if (here == wanted) return;
  const ConfigValue has = write_config(here), asked = write_config(wanted);
  const ConfigValue::Entry* difference = nullptr;
  for (const ConfigValue::Entry& entry : has.entries) {
    if (difference == nullptr && to_yaml(entry.value) != to_yaml(*asked.find(entry.key))) difference = &entry;
  }
  TORCH_INTERNAL_ASSERT(difference != nullptr);
  throw DataError(where + ": the memory was evolved with other constants (" +
                  std::to_string(config.parameters()) + " parameters, " + std::to_string(config.features()) +
                  " features a token; the configuration asks for " + std::to_string(wanted.parameters()) +
                  " and " + std::to_string(wanted.features()) + "). Set memory." + difference->key + " to\n" +
                  to_yaml(difference->value));
}

std::string MemoryFile::sha256() const {
  Sha256 hash;
  hash.update(config_sha256(stored_form(write_config(config))));
  hash.update_integer(parameters.size());
  hash.update(parameters.data(), parameters.size() * sizeof(float));
  const std::vector<double> numbers = statistics.to_values();
  hash.update_integer(numbers.size());
  hash.update(numbers.data(), numbers.size() * sizeof(double));
  return hash.hex();
}

at::Tensor MemoryFile::theta() const {
  return at::tensor(parameters, at::kFloat).view({1, static_cast<int64_t>(parameters.size())});
}

}  // namespace namm::memory
