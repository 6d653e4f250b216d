#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "core/errors.h"
#include "core/files.h"
#include "core/journal.h"
#include "core/log.h"
#include "evolution/work_item.h"
#include "tests/evolution/fuzz/memory_directory.h"

namespace {

const std::filesystem::path& path() {
  static const namm::testing::MemoryDirectory directory;
  static const std::filesystem::path file = directory.path() / "journal";
  return file;
}

void write(std::string_view head, std::string_view bytes) {
  std::ofstream(path(), std::ios::binary | std::ios::trunc) << head << bytes;
}

/// The head of a journal with the key "key".
const std::string& sound_head() {
  static const std::string head = [] {
    std::filesystem::remove(path());
    namm::Journal::open(path(), "key");
    return namm::read_file(path());
  }();
  return head;
}

}  // namespace

// A journal as a crash or a bad disk may leave it: read and opened, or refused with DataError. The first
// byte's last bit puts a sound head in front, so that the records are reached.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace namm;
  static const bool quiet = [] {
    set_log_level(parse_log_level("off"));
    return true;
  }();
  if (size == 0 || !quiet) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  write((data[0] & 1) != 0 ? std::string_view(sound_head()) : std::string_view(), bytes);
  try {
    const JournalContents read = Journal::read(path(), "key");
    for (const std::string& record : read.records) {
      try {
        evolution::decode_result(record);
      } catch (const DataError&) {
      }
    }
    {
      Journal journal = Journal::open(path(), "key");
      if (journal.contents().records != read.records) std::abort();
      journal.append("one more");
    }
    // The torn tail is cut off, and nothing before it.
    const JournalContents longer = Journal::read(path(), "key");
    if (longer.dropped_bytes != 0 || longer.records.size() != read.records.size() + 1) std::abort();
    if (!std::equal(read.records.begin(), read.records.end(), longer.records.begin())) std::abort();
  } catch (const DataError&) {
  }
  return 0;
}
