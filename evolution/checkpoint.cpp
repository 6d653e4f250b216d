#include "evolution/checkpoint.h"

#include "core/errors.h"
#include "core/hdf5.h"
#include "core/log.h"
#include "core/sha256.h"
#include "core/text.h"

namespace namm::evolution {
namespace {

constexpr std::string_view kFormat = "namm-checkpoint";
constexpr int64_t kVersion = 2;

void write_arrays(Hdf5File& file, const std::string& group, const NamedArrays& arrays) {
  file.make_group(group);
  std::vector<std::string> names;
  for (const NamedArray& array : arrays) {
    names.push_back(array.name);
    std::visit([&](const auto& values) { file.write(group + "/" + array.name, array.shape, values); },
               array.values);
  }
  file.write_texts(group + "_order", names);
}

NamedArrays read_arrays(const Hdf5File& file, const std::string& group) {
  NamedArrays arrays;
  for (const std::string& name : file.read_texts(group + "_order")) {
    const std::string path = group + "/" + name;
    if (file.kind(path) == Hdf5Kind::integers) {
      auto [shape, values] = file.read<int64_t>(path);
      arrays.push_back({name, std::move(shape), std::move(values)});
    } else {
      auto [shape, values] = file.read<double>(path);
      arrays.push_back({name, std::move(shape), std::move(values)});
    }
  }
  return arrays;
}

}  // namespace

std::string Checkpoint::state_sha256() const {
  Sha256 hash;
  hash.update(optimizer.kind).update(sha256_of(optimizer.arrays));
  hash.update_integer(samples.size());
  for (const SampleId& sample : samples) {
    hash.update_integer(static_cast<uint64_t>(sample.task))
        .update_integer(static_cast<uint64_t>(sample.sample));
  }
  hash.update(sha256_of(statistics));
  return hash.hex();
}

void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint,
                      std::string state_sha256) {
  if (state_sha256.empty()) {
    state_sha256 = checkpoint.state_sha256();
  }
  Hdf5File file = Hdf5File::create(path);
  file.write_attribute("/", "format", kFormat);
  file.write_attribute("/", "version", kVersion);
  file.write_attribute("/", "stage", static_cast<int64_t>(checkpoint.stage));
  file.write_attribute("/", "first_generation", checkpoint.first_generation);
  file.write_attribute("/", "generation", checkpoint.generation);
  file.write_attribute("/", "config_sha256", checkpoint.config_sha256);
  file.write_attribute("/", "state_sha256", state_sha256);
  file.write_attribute("/", "optimizer", checkpoint.optimizer.kind);
  write_arrays(file, "optimizer", checkpoint.optimizer.arrays);
  write_arrays(file, "statistics", checkpoint.statistics);
  std::vector<int32_t> tasks;
  std::vector<int64_t> ids;
  for (const SampleId& sample : checkpoint.samples) {
    tasks.push_back(sample.task);
    ids.push_back(sample.sample);
  }
  const auto count = static_cast<int64_t>(ids.size());
  file.write("samples/task", {count}, tasks);
  file.write("samples/id", {count}, ids);
  file.write_scalar("best/generation", checkpoint.best.generation);
  file.write_scalar("best/validation", checkpoint.best.validation);
  file.write("best/mean", {static_cast<int64_t>(checkpoint.best.mean.size())}, checkpoint.best.mean);
  file.write_text("origin", checkpoint.origin);
  file.write_text("log_row", checkpoint.log_row);
  file.commit();
}

Checkpoint read_checkpoint(const std::filesystem::path& path) {
  const Hdf5File file = Hdf5File::open(path);
  if (!file.has_attribute("/", "format") || file.read_attribute<std::string>("/", "format") != kFormat) {
    throw DataError(format_text("{}: not a checkpoint of this program", path.string()));
  }
  const auto version = file.read_attribute<int64_t>("/", "version");
  if (version != kVersion) {
    throw DataError(format_text("{}: checkpoint version {}, this program reads version {}", path.string(),
                                version, kVersion));
  }
  Checkpoint checkpoint;
  checkpoint.stage = static_cast<int32_t>(file.read_attribute<int64_t>("/", "stage"));
  checkpoint.first_generation = file.read_attribute<int64_t>("/", "first_generation");
  checkpoint.generation = file.read_attribute<int64_t>("/", "generation");
  checkpoint.config_sha256 = file.read_attribute<std::string>("/", "config_sha256");
  checkpoint.optimizer.kind = file.read_attribute<std::string>("/", "optimizer");
  checkpoint.optimizer.arrays = read_arrays(file, "optimizer");
  checkpoint.statistics = read_arrays(file, "statistics");
  const auto tasks = file.read<int32_t>("samples/task", {-1});
  const auto ids = file.read<int64_t>("samples/id", {static_cast<int64_t>(tasks.size())});
  for (std::size_t i = 0; i < ids.size(); ++i) {
    checkpoint.samples.push_back({tasks[i], ids[i]});
  }
  checkpoint.best.generation = file.read_scalar<int64_t>("best/generation");
  checkpoint.best.validation = file.read_scalar<double>("best/validation");
  checkpoint.best.mean = file.read<double>("best/mean", {-1});
  checkpoint.origin = file.read_text("origin");
  checkpoint.log_row = file.read_text("log_row");
  if (checkpoint.state_sha256() != file.read_attribute<std::string>("/", "state_sha256")) {
    throw DataError(format_text("{}: the content does not fit its own state_sha256", path.string()));
  }
  return checkpoint;
}

std::optional<Checkpoint> newest_checkpoint(const RunDirectory& run) {
  const std::vector<CheckpointFile> files = run.checkpoints();
  std::string reason;
  for (auto file = files.rbegin(); file != files.rend(); ++file) {
    try {
      return read_checkpoint(file->path);
    } catch (const DataError& error) {
      log_warning(format_text("{}; trying the checkpoint before it", error.what()));
      reason = error.what();
    }
  }
  if (files.empty()) {
    return std::nullopt;
  }
  throw DataError(
      format_text("{}: none of its {} checkpoints can be read, so the run cannot be resumed; start it anew "
                  "with another --out ({})",
                  run.path().string(), files.size(), reason));
}

}  // namespace namm::evolution
