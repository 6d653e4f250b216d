#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <fuzzer/FuzzedDataProvider.h>

#include "core/errors.h"
#include "core/hdf5.h"
#include "evolution/checkpoint.h"
#include "evolution/optimizer_list.h"
#include "tests/evolution/fuzz/memory_directory.h"

namespace {

using namespace namm;
using namespace namm::evolution;

const std::filesystem::path& folder() {
  static const testing::MemoryDirectory directory;
  return directory.path();
}

/// Sizes that multiply to anything.
Hdf5Shape shape_of(FuzzedDataProvider& draw, size_t& count) {
  Hdf5Shape shape;
  count = 1;
  for (int i = draw.ConsumeIntegralInRange(0, 3); i > 0; --i) {
    shape.push_back(draw.ConsumeIntegralInRange(0, 5));
    count *= static_cast<size_t>(shape.back());
  }
  return shape;
}

/// A data set of any kind under `name`, or none.
void write_anything(Hdf5File& file, const std::string& name, FuzzedDataProvider& draw) {
  size_t count = 0;
  const Hdf5Shape shape = shape_of(draw, count);
  switch (draw.ConsumeIntegralInRange(0, 5)) {
    case 0:
      break;
    case 1:
      file.write(name, shape, std::vector<double>(count, draw.ConsumeFloatingPoint<double>()));
      break;
    case 2:
      file.write(name, shape, std::vector<int64_t>(count, draw.ConsumeIntegral<int64_t>()));
      break;
    case 3:
      file.write_text(name, draw.ConsumeRandomLengthString(16));
      break;
    case 4:
      file.write(name, shape, std::vector<uint64_t>(count, draw.ConsumeIntegral<uint64_t>()));
      break;
    default:
      file.make_group(name);
      break;
  }
}

/// A sound HDF5 file, its parts those of a checkpoint but for some that are missing or of another kind.
void write_file(const std::filesystem::path& path, FuzzedDataProvider& draw) {
  Hdf5File file = Hdf5File::create(path);
  const auto is_right = [&] { return draw.ConsumeIntegralInRange(0, 7) != 0; };
  if (is_right()) file.write_attribute("/", "format", "namm-checkpoint");
  if (is_right())
    file.write_attribute("/", "version", is_right() ? int64_t{2} : draw.ConsumeIntegral<int64_t>());
  for (const char* name : {"stage", "first_generation", "generation"}) {
    if (is_right()) file.write_attribute("/", name, draw.ConsumeIntegral<int64_t>());
  }
  for (const char* name : {"config_sha256", "state_sha256"}) {
    if (is_right()) file.write_attribute("/", name, std::string(draw.ConsumeRandomLengthString(16)));
  }
  file.write_attribute("/", "optimizer",
                       is_right() ? std::string("cr-fm-nes") : draw.ConsumeRandomLengthString(8));
  for (const std::string group : {"optimizer", "statistics"}) {
    std::vector<std::string> names;
    file.make_group(group);
    for (int i = draw.ConsumeIntegralInRange(0, 3); i > 0; --i) {
      const std::string name = "array" + std::to_string(i);
      write_anything(file, group + "/" + name, draw);
      names.push_back(is_right() ? name
                                 : draw.PickValueInArray({"", "/", "..", "../samples", "array1", "gone"}));
    }
    if (is_right()) file.write_texts(group + "_order", names);
  }
  const auto count = draw.ConsumeIntegralInRange<int64_t>(0, 3);
  const auto other = is_right() ? count : draw.ConsumeIntegralInRange<int64_t>(0, 3);
  if (is_right()) {
    file.write("samples/task", {count}, std::vector<int32_t>(static_cast<size_t>(count), 1));
    file.write("samples/id", {other},
               std::vector<int64_t>(static_cast<size_t>(other), draw.ConsumeIntegral<int64_t>()));
  } else {
    write_anything(file, "samples/task", draw);
    write_anything(file, "samples/id", draw);
  }
  if (is_right()) {
    file.write_scalar("best/generation", draw.ConsumeIntegral<int64_t>());
    file.write_scalar("best/validation", draw.ConsumeFloatingPoint<double>());
    file.write("best/mean", {2}, std::vector<double>{1, 2});
  } else {
    for (const char* name : {"best/generation", "best/validation", "best/mean"})
      write_anything(file, name, draw);
  }
  for (const char* name : {"origin", "log_row"}) {
    if (is_right()) {
      file.write_text(name, draw.ConsumeRandomLengthString(16));
    } else {
      write_anything(file, name, draw);
    }
  }
  file.commit();
}

/// The same checkpoint with the hash that its content has: what a reader of the state must then cope with.
void read_and_restore(const std::filesystem::path& path) {
  const Checkpoint checkpoint = read_checkpoint(path);
  const auto again = folder() / "again.h5";
  write_checkpoint(again, checkpoint);
  if (read_checkpoint(again).state_sha256() != checkpoint.state_sha256()) std::abort();
}

}  // namespace

// A checkpoint: any bytes, and files that are sound HDF5 with our checksum and hold something else.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto path = folder() / "checkpoint.h5";
  try {
    if ((data[0] & 1) != 0) {
      std::ofstream(path, std::ios::binary | std::ios::trunc)
          << std::string_view(reinterpret_cast<const char*>(data) + 1, size - 1);
    } else {
      FuzzedDataProvider draw(data + 1, size - 1);
      write_file(path, draw);
    }
    read_and_restore(path);
  } catch (const DataError&) {
  }
  return 0;
}
