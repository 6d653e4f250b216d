#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/files.h"
#include "models/archive.h"
#include "tests/support/long_run.h"
#include "tests/support/temporary_directory.h"

namespace namm::models {
namespace {

std::string whole_archive() {
  return read_file(std::filesystem::path(NAMM_TEST_DATA) / "archives" / "torch-2.11.0.pt");
}

// Loads `bytes` as an archive; true where that is refused with a DataError. Anything else but success fails
// the test.
bool refused(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  try {
    Archive::load(path);
    return false;
  } catch (const DataError&) {
    return true;
  }
}

TEST(ArchiveFuzz, EveryTruncationIsRefused) {
  const testing::TemporaryDirectory directory;
  const std::string whole = whole_archive();
  std::size_t tried = 0;
  for (std::size_t size = 0; size < whole.size(); size += size + 400 < whole.size() && size > 400 ? 37 : 1) {
    ASSERT_TRUE(refused(directory / "cut.pt", whole.substr(0, size))) << "cut to " << size << " bytes";
    ++tried;
  }
  std::printf("%zu truncations refused\n", tried);
}

TEST(ArchiveFuzz, FlippedBytesNeverCrash) {
  const testing::TemporaryDirectory directory;
  const std::string whole = whole_archive();
  std::mt19937 random(11);
  const int rounds = testing::is_long_run() ? 50000 : 3000;
  int found = 0;
  for (int round = 0; round < rounds; ++round) {
    std::string damaged = whole;
    const auto flips = 1 + random() % 3;
    for (unsigned i = 0; i < flips; ++i) {
      // Half of the flips go to the directory at the end, where a damaged number leads furthest.
      const std::size_t range =
          random() % 2 == 0 ? damaged.size() : std::min<std::size_t>(damaged.size(), 6000);
      damaged[damaged.size() - 1 - random() % range] ^= static_cast<char>(1 + random() % 255);
    }
    SCOPED_TRACE("round " + std::to_string(round));
    found += refused(directory / "damaged.pt", damaged);
  }
  std::printf("%d of %d damaged archives refused\n", found, rounds);
  EXPECT_GT(found, rounds * 8 / 10);
}

TEST(ArchiveFuzz, JunkIsRefused) {
  const testing::TemporaryDirectory directory;
  std::mt19937 random(5);
  for (int round = 0; round < 500; ++round) {
    std::string junk(random() % 4000, '\0');
    for (char& letter : junk) letter = static_cast<char>(random());
    if (junk.size() > 60) {
      junk.replace(0, 4, "PK\x03\x04", 4);
      junk.replace(junk.size() - 22, 4, "PK\x05\x06", 4);
      if (round % 2 == 0) junk.replace(junk.size() - 2, 2, 2, '\0');
    }
    ASSERT_TRUE(refused(directory / "junk.pt", junk));
  }
}

}  // namespace
}  // namespace namm::models
